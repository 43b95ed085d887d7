"""The whole sample for a configuration: event files, listings, corrections, certified sections."""

from __future__ import annotations

import gzip
import json
import math
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot
from correctionlib import schemav2

from intccms.errors import InputError
from intccms.schema import Config
from intccms.schema.datasets import Dataset
from nanosample.branches import Jagged, Table, table
from nanosample.calibration import correction_set
from nanosample.collisions import Expectation, Sections, collide, golden
from nanosample.detector import reconstruct
from nanosample.generation import generate
from nanosample.settings import Kind, kind_of, settings
from nanosample.vectors import Array

FileFormat = Literal["ttree", "rntuple"]
Rng = np.random.Generator

SECTION_FILES = (".json", ".txt")  # what a luminosity mask may be told to read
SECTION_EVENTS = 500  # simulated events in a luminosity section
CLUSTER_EVENTS = 25_000


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written: counts, and paths relative to the sample's folder."""

    files: int
    events: int
    size_bytes: int
    events_by_dataset: dict[str, int]
    golden_jsons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Folder:
    """One directory of the configuration, which is one dataset, and how to fill it."""

    dataset: str
    path: str
    entry: Dataset
    kind: Kind | None  # None: collision data, for which there is
    golden: str  # the file of certified sections (or the dataset's name)
    sharing: tuple[int, int]  # place among data directories with the same sections, their number
    n_of_year: int  # data directories of this year, and
    expected: Expectation
    absent: tuple[str, ...]  # branches that such files do not have


def write_sample(  # noqa: PLR0913 - all but two are named by the caller
    out: Path,
    config: Config,
    *,
    files_per_process: int = 2,
    events_per_file: int = 50_000,
    seed: int = 1,
    file_format: FileFormat = "ttree",
    branches: int | None = None,
    is_lean: bool = False,
    on_file: Callable[[str, int], None] | None = None,
) -> SampleSummary:
    """Write synthetic NanoAOD, and all else a configuration reads, under the names it uses.

    Parameters
    ----------
    out
        Folder to write to; a run with ``general.base_dir`` set to it is a run on the sample.
    config
        Says which directories, correction files and certified sections there should be.
    files_per_process
        Files in each directory.
    events_per_file
        Events in each file. Data directories get as many if enough events fire the trigger.
    seed
        The same seed gives the same content. Each file has its own random numbers, so the files
        of simulation do not depend on how many there are.
    file_format
        ``ttree`` or ``rntuple``.
    branches
        Add meaningless branches until ``Events`` has this many; None: none are added.
    is_lean
        Write only the branches that the configuration keeps in a skim: several times quicker
        where there are many small files.
    on_file
        Called with the path of each finished file and its number of events.

    Raises
    ------
    InputError
        Before anything is written: if a path of the configuration is absolute, or it cannot be
        told what a process or a correction is.
    """
    if min(files_per_process, events_per_file) < 1:
        raise InputError("a sample needs at least one file per process and one event per file")
    sets = {file: correction_set(file, keys) for file, keys in _correction_keys(config).items()}
    folders = list(_folders(config, sets))
    sections = {folder.golden: golden(folder.golden, seed) for folder in folders}
    for file, content in sets.items():
        _write_json(out / file, content.model_dump_json(exclude_unset=True))
    goldens = tuple(file for file in sections if file.endswith(SECTION_FILES))
    for file in goldens:
        _write_json(out / file, json.dumps(sections[file].ranges))
    size_bytes, n_events = 0, {folder.dataset: 0 for folder in folders}
    for folder in folders:
        directory = out / folder.path
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"{folder.dataset}_{i}.root" for i in range(files_per_process)]
        for i, name in enumerate(names):
            rng = np.random.default_rng([seed, zlib.crc32(folder.dataset.encode()), i])
            place = (i, files_per_process)
            events = _events(folder, sections[folder.golden], place, events_per_file, rng)
            events = events.without(folder.absent)
            if is_lean:
                events = events.only(config.preprocess.branches)
            if branches is not None:
                events = events.padded(branches, rng)
            identity = (folder.entry.tree_name, f"{seed}/{folder.dataset}/{i}")
            size_bytes += _write_file(directory / name, events, file_format, identity)
            n_events[folder.dataset] += len(events)
            if on_file is not None:
                on_file(str(directory / name), len(events))
        if not folder.entry.file_pattern.endswith(".root"):
            (directory / "0.txt").write_text("".join(f"{name}\n" for name in names))
    n_files = files_per_process * len(folders)
    return SampleSummary(n_files, sum(n_events.values()), size_bytes, n_events, goldens)


def _inside(path: str) -> str:
    """Return a path of the configuration if it can be written below the sample's folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or "://" in path or ".." in pure.parts:
        raise InputError(
            f"the configuration names {path!r}: a sample can only be written for relative paths"
        )
    return path


def _correction_keys(config: Config) -> dict[str, set[str]]:
    """Collect the keys that the configuration asks of each correction file."""
    out: dict[str, set[str]] = {}
    for correction in (entry for entries in config.corrections.values() for entry in entries):
        if correction.file is not None:
            keys = (correction.key, *(source.key for source in correction.uncertainty_sources))
            known = out.setdefault(_inside(correction.file), set())
            known.update(key for key in keys if key is not None)
    for file, known in out.items():
        if not known:
            raise InputError(f"{file}: the configuration names no key in it, so it cannot be made")
    return out


def _folders(config: Config, sets: Mapping[str, schemav2.CorrectionSet]) -> Iterator[_Folder]:
    """List the directories of the datasets in ``general.processes``.

    Those of data share sections and expected events.
    """
    wanted, entries = config.general.processes, config.datasets.datasets
    years = {year for entry in entries for year in entry.years}
    expected = {year: _expected(config, year, sets) for year in years}
    entries = tuple(entry for entry in entries if wanted is None or entry.name in wanted)
    listed = [(entry, i) for entry in entries for i in range(len(entry.years))]
    n_of_year = Counter(entry.years[i] for entry, i in listed if entry.is_data)
    paths = Counter(entry.directories[i].rstrip("/") for entry, i in listed)
    if twice := [path for path, count in paths.items() if count > 1]:
        raise InputError(f"two datasets share the directory {twice[0]!r}: each needs its own")
    n_sharing = Counter(_golden_file(entry, i) for entry, i in listed)
    seen = Counter[str]()
    for entry, i in listed:
        path, year, file = _inside(entry.directories[i]), entry.years[i], _golden_file(entry, i)
        kind = None if entry.is_data else kind_of(entry.name, path)
        if kind is None and not expected[year].components:
            raise InputError("collision data are a mixture of backgrounds, and there is none")
        sharing = (seen[file], n_sharing[file])
        seen[file] += 1
        # triggers that a year has not, and weights that a generator does not make
        lacking = (() if year is None else (year[:4],)) + (() if kind is None else (kind.name,))
        absent = tuple(one for name in lacking for one in settings()["absent"].get(name, ()))
        rest = (n_of_year[year], expected[year], absent)
        yield _Folder(entry.keys()[i], path, entry, kind, file, sharing, *rest)


def _golden_file(entry: Dataset, index: int) -> str:
    """Find the file of certified sections among a luminosity mask's keyword arguments."""
    mask = entry.lumi_mask[index]
    values = [] if mask is None else mask.static_kwargs.values()
    files = [value for value in values if isinstance(value, str) and value.endswith(SECTION_FILES)]
    return _inside(files[0]) if files else entry.keys()[index]


def _expected(
    config: Config, year: str | None, sets: Mapping[str, schemav2.CorrectionSet]
) -> Expectation:
    """List a year's backgrounds with the events expected of each, and how muons are found.

    That is the product of the muon scale factors that the configuration applies to simulation.
    """
    backgrounds = [
        (kind_of(entry.name, directory), entry.cross_sections[i] * config.general.lumi_for(year))
        for entry in config.datasets.datasets
        for i, directory in enumerate(entry.directories)
        if not entry.is_data and entry.years[i] == year
    ]
    factors = [
        made.to_evaluator()
        for asked in config.corrections_for(year)
        if asked.file is not None and (asked.key or "").startswith("NUM_")
        for made in sets[asked.file].corrections
        if made.name == asked.key
    ]

    def efficiency(eta: Array, pt: Array) -> Array:
        values = (factor.evaluate(np.abs(eta), pt, "nominal") for factor in factors)
        return np.asarray(math.prod(values, start=np.ones(len(pt))))

    components = tuple((kind, n) for kind, n in backgrounds if kind.model != "resonance")
    return Expectation(components, efficiency)


def _events(
    folder: _Folder, sections: Sections, place: tuple[int, int], n_events: int, rng: Rng
) -> Table:
    """Make the content of one of a directory's files; `place` is its index and their number."""
    index, n_files = place
    first_event = 1 + index * n_events
    if folder.kind is not None:
        generated, weight = generate(folder.kind, n_events, rng)
        number = first_event + np.arange(n_events)
        run_section = np.stack([np.ones_like(number), 1 + number // SECTION_EVENTS], axis=1)
        known = np.unique(run_section, axis=0)
        return table(reconstruct(generated, rng), (run_section, number), weight, known, rng)
    events = collide(folder.expected, 1 / (folder.n_of_year * n_files), n_events, rng)
    sharing_index, n_sharing = folder.sharing
    own = sections.of_file(sharing_index * n_files + index, n_sharing * n_files)
    known = np.unique(np.concatenate([own.certified, own.other]), axis=0)
    number = first_event + np.arange(len(events))
    return table(events, (own.drawn(len(events), rng), number), None, known, rng)


def _write_json(path: Path, text: str) -> None:
    """Write text, compressed if the name says so, without the time in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _write_file(
    path: Path, content: Table, file_format: FileFormat, identity: tuple[str, str]
) -> int:
    """Write a file and return its size in bytes.

    `identity` is the name of the tree of events, and what the file's UUID is made from. uproot
    writes the time into every record, so two files of the same content differ in those words and
    nowhere else.
    """
    tree_name, origin = identity
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"intccms-sample:{origin}")
    run, section = content.sections.astype(np.uint32).T
    events: dict[str, Any] = dict(content.scalars)
    for collection, jagged in content.collections.items():
        events[f"n{collection}"] = jagged.counts.astype(np.uint32)
        for column, values in jagged.columns.items():
            events[f"{collection}_{column}" if column else collection] = _lists(jagged, values)
    runs = {"run": np.unique(run)}
    if "genWeight" in content.scalars:
        weight = content.scalars["genWeight"].astype(np.float64)
        runs["genEventCount"] = np.array([len(weight)], dtype=np.int64)
        runs["genEventSumw"] = np.array([weight.sum()])
        runs["genEventSumw2"] = np.array([(weight**2).sum()])
    with uproot.recreate(path, compression=uproot.ZSTD(1), uuid_function=lambda: name) as file:
        _write_tree(file, tree_name, events, file_format)
        _write_tree(file, "Runs", runs, file_format)
        blocks = {"run": run, "luminosityBlock": section}
        _write_tree(file, "LuminosityBlocks", blocks, file_format)
    return path.stat().st_size


def _lists(jagged: Jagged, values: Array) -> ak.Array:
    """Give flat values the structure of their collection."""
    offsets = np.concatenate([[0], np.cumsum(jagged.counts)])
    content = ak.contents.NumpyArray(np.ascontiguousarray(values))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content))


def _write_tree(file: Any, name: str, columns: Mapping[str, Any], file_format: FileFormat) -> None:
    """Write columns as a TTree, cluster by cluster, or as an RNTuple."""
    # the counters of a TTree come from its lists: uproot writes them as int32 whatever is asked
    lists = {key for key, value in columns.items() if isinstance(value, ak.Array)}
    made = set() if file_format == "rntuple" else {f"n{key.split('_')[0]}" for key in lists}
    written = {key: value for key, value in columns.items() if key not in made}
    starts = range(0, max(len(columns["run"]), 1), CLUSTER_EVENTS)
    clusters = [{k: v[i : i + CLUSTER_EVENTS] for k, v in written.items()} for i in starts]
    if file_format == "rntuple":
        tree = file.mkrntuple(name, clusters.pop(0))
    else:
        tree = file.mktree(
            name,
            {k: v.type.content if k in lists else v.dtype for k, v in written.items()},
            counter_name=lambda branch: f"n{branch.split('_')[0]}",
            initial_basket_capacity=len(starts) + 2,  # never full: the tree is laid out only once
        )
    for cluster in clusters:
        tree.extend(cluster)

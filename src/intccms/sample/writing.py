"""The whole sample for a configuration: event files, listings, corrections, certified sections."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from correctionlib import schemav2

from intccms.errors import InputError
from intccms.sample import families, lumi, plan, tables
from intccms.sample.collisions import Efficiency, Expectation, collide
from intccms.sample.files import FileFormat, write_file
from intccms.sample.generator import generate
from intccms.sample.kinds import Kind
from intccms.sample.kinematics import Array
from intccms.sample.reconstruction import reconstruct
from intccms.sample.tables import Table
from intccms.schema import Config

__all__ = ["SampleSummary", "write_sample"]

log = logging.getLogger(__name__)

LISTING = "0.txt"


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written: counts, and paths relative to the sample's folder."""

    files: int
    events: int
    size_bytes: int
    events_by_dataset: dict[str, int]
    listings: tuple[str, ...]
    corrections: tuple[str, ...]
    golden_jsons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of `write_sample` that the files depend on."""

    n_files: int
    n_events: int
    seed: int
    file_format: FileFormat
    branches: int | None
    on_file: Callable[[str, int], None] | None


def write_sample(  # noqa: PLR0913 - all but two are named by the caller
    out: Path,
    config: Config,
    *,
    files_per_process: int = 2,
    events_per_file: int = 50_000,
    seed: int = 1,
    file_format: FileFormat = "ttree",
    branches: int | None = None,
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
        The same seed gives the same content. Each file has its own random numbers, so the number
        of files does not change those that stay.
    file_format
        ``ttree`` or ``rntuple``.
    branches
        Add meaningless branches until ``Events`` has this many; None: none are added.
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
    request = _Request(files_per_process, events_per_file, seed, file_format, branches, on_file)
    folders = plan.folders(config)
    sets = {f: families.correction_set(f, k) for f, k in plan.correction_keys(config).items()}
    goldens = {f.golden: lumi.golden(f.golden, seed) for f in folders if f.golden is not None}
    for file, content in sets.items():
        _write_json(out / file, content.model_dump_json(exclude_unset=True))
    for file, certified in goldens.items():
        _write_json(out / file, json.dumps(certified.as_json()))
    written = {}
    for folder in folders:
        efficiency = _muon_efficiency(config, folder.year, sets)
        certified = goldens.get(folder.golden or "") or lumi.golden(folder.dataset, seed)
        written[folder.dataset] = _write_folder(out, folder, certified, efficiency, request)
    return SampleSummary(
        files=sum(len(sizes) for sizes, _ in written.values()),
        events=sum(n_events for _, n_events in written.values()),
        size_bytes=sum(sum(sizes) for sizes, _ in written.values()),
        events_by_dataset={name: n_events for name, (_, n_events) in written.items()},
        listings=tuple(str(PurePosixPath(f.path, LISTING)) for f in folders if f.has_listing),
        corrections=tuple(sets),
        golden_jsons=tuple(goldens),
    )


def _write_folder(
    out: Path,
    folder: plan.Folder,
    certified: lumi.Certified,
    efficiency: Efficiency,
    request: _Request,
) -> tuple[list[int], int]:
    """Fill one directory; give the sizes of its files and the number of events."""
    directory = out / folder.path
    directory.mkdir(parents=True, exist_ok=True)
    names, sizes, n_events = [], [], 0
    for i in range(request.n_files):
        rng = _random(request.seed, folder.dataset, i)
        first_event = 1 + i * request.n_events
        if folder.kind is not None:
            table = _simulation(folder.kind, request.n_events, first_event, rng)
        else:
            table = _collisions(folder, i, certified, efficiency, request, rng)
        if request.branches is not None:
            table = tables.padded(table, request.branches, rng)
        names.append(f"{folder.dataset}_{i}.root")
        identity = f"{request.seed}/{folder.dataset}/{i}"
        path = directory / names[-1]
        sizes.append(
            write_file(
                path, table, request.file_format, tree_name=folder.tree_name, identity=identity
            )
        )
        n_events += len(table)
        log.info("%s: %d events, %d bytes", path, len(table), sizes[-1])
        if request.on_file is not None:
            request.on_file(str(path), len(table))
    if folder.has_listing:
        (directory / LISTING).write_text("".join(f"{name}\n" for name in names))
    return sizes, n_events


def _simulation(kind: Kind, n_events: int, first_event: int, rng: np.random.Generator) -> Table:
    """Make one file of simulation."""
    hard, gen_weight = generate(kind, n_events, rng)
    return tables.simulation_table(reconstruct(hard, rng), gen_weight, first_event, rng)


def _collisions(
    folder: plan.Folder,
    index: int,
    certified: lumi.Certified,
    efficiency: Efficiency,
    request: _Request,
    rng: np.random.Generator,
) -> Table:
    """Make one file of collision data."""
    expected = Expectation(folder.mixture, 1 / (folder.n_data * request.n_files), efficiency)
    events = collide(expected, request.n_events, rng)
    sections = certified.of_file(
        folder.sharing_index * request.n_files + index, folder.n_sharing * request.n_files
    )
    first_event = 1 + index * request.n_events
    return tables.data_table(
        events, first_event, (sections.drawn(len(events), rng), sections.all), rng
    )


def _random(seed: int, dataset: str, index: int) -> np.random.Generator:
    """Random numbers of one file, whatever other files there are."""
    words = [seed, zlib.crc32(dataset.encode()), index]
    return np.random.default_rng(np.random.SeedSequence(words))


def _muon_efficiency(
    config: Config, year: str | None, sets: dict[str, schemav2.CorrectionSet]
) -> Efficiency:
    """Multiply the muon scale factors that the configuration applies to simulation."""
    factors = []
    for correction in config.corrections_for(year):
        if correction.file is not None and (correction.key or "").startswith("NUM_"):
            made = {entry.name: entry for entry in sets[correction.file].corrections}
            factors.append(made[str(correction.key)].to_evaluator())

    def efficiency(eta: Array, pt: Array) -> Array:
        product = np.ones(len(pt))
        for factor in factors:
            product *= factor.evaluate(np.abs(eta), pt, "nominal")
        return product

    return efficiency


def _write_json(path: Path, text: str) -> None:
    """Write text, compressed if the name says so, without the time in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)

"""The whole sample for a configuration: event files, listings, corrections, certified sections."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intccms.errors import InputError
from intccms.sample import lumi
from intccms.sample.events.collisions import collide
from intccms.sample.events.generator import generate
from intccms.sample.events.reconstruction import reconstruct
from intccms.sample.events.tables import Table, padded, table
from intccms.sample.files import FileFormat, write_file
from intccms.sample.plan import Folder, plan
from intccms.schema import Config

__all__ = ["SampleSummary", "write_sample"]

SECTION_EVENTS = 500  # simulated events in a luminosity section


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written: counts, and paths relative to the sample's folder."""

    files: int
    events: int
    size_bytes: int
    events_by_dataset: dict[str, int]
    golden_jsons: tuple[str, ...]


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
    made = plan(config, seed)
    for file, content in made.corrections.items():
        _write_json(out / file, content.model_dump_json(exclude_unset=True))
    goldens = {k: v for k, v in made.golden_jsons.items() if k.endswith((".json", ".txt"))}
    for file, sections in goldens.items():
        _write_json(out / file, json.dumps(sections.ranges))
    size_bytes, n_events = 0, {folder.dataset: 0 for folder in made.folders}
    for folder in made.folders:
        directory = out / folder.path
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"{folder.dataset}_{i}.root" for i in range(files_per_process)]
        for i, name in enumerate(names):
            rng = np.random.default_rng([seed, zlib.crc32(folder.dataset.encode()), i])
            own = made.golden_jsons[folder.golden]
            events = _file(folder, own, (i, files_per_process), events_per_file, rng)
            events = events.without(folder.absent)
            if is_lean:
                events = events.only(config.preprocess.branches)
            if branches is not None:
                events = padded(events, branches, rng)
            identity = (folder.tree_name, f"{seed}/{folder.dataset}/{i}")
            size_bytes += write_file(directory / name, events, file_format, identity)
            n_events[folder.dataset] += len(events)
            if on_file is not None:
                on_file(str(directory / name), len(events))
        if folder.has_listing:
            (directory / "0.txt").write_text("".join(f"{name}\n" for name in names))
    n_files = files_per_process * len(made.folders)
    return SampleSummary(n_files, sum(n_events.values()), size_bytes, n_events, tuple(goldens))


def _file(
    folder: Folder,
    sections: lumi.Sections,
    place: tuple[int, int],
    n_events: int,
    rng: np.random.Generator,
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
    return table(events, (lumi.drawn(own, len(events), rng), number), None, known, rng)


def _write_json(path: Path, text: str) -> None:
    """Write text, compressed if the name says so, without the time in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)

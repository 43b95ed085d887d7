"""What a configuration expects to find on disk, checked before anything is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from intccms.errors import InputError
from intccms.sample.collisions import Component
from intccms.sample.kinds import Kind, kind_of
from intccms.schema import Config
from intccms.schema.datasets import Dataset

__all__ = ["Folder", "correction_keys", "folders", "golden_files", "inside"]

SECTION_FILES = (".json", ".txt")  # what a luminosity mask may be told to read


@dataclass(frozen=True, slots=True)
class Folder:
    """One directory of the configuration, which is one dataset, and how to fill it."""

    dataset: str
    year: str | None
    path: str
    tree_name: str
    has_listing: bool
    kind: Kind | None  # None: collision data
    golden: str | None  # path of the certified sections
    n_sharing: int = 1  # data directories with the same certified sections, and
    sharing_index: int = 0  # which of them this is
    n_data: int = 1  # data directories of this year
    mixture: tuple[Component, ...] = ()  # of collision data


def inside(path: str) -> str:
    """Return a path of the configuration if it can be written below the sample's folder.

    Raises
    ------
    InputError
        If it is absolute, a URL, or leads out of the folder.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or "://" in path or ".." in pure.parts:
        raise InputError(
            f"the configuration names {path!r}: a sample can only be written for relative paths"
        )
    return path


def folders(config: Config) -> tuple[Folder, ...]:
    """List the directories of all datasets, each with what it should hold."""
    out = _simulated(config) + _data(config)
    paths = Counter(folder.path.rstrip("/") for folder in out)
    if twice := [path for path, count in paths.items() if count > 1]:
        raise InputError(f"two datasets share the directory {twice[0]!r}: each needs its own")
    return tuple(out)


def golden_files(config: Config) -> tuple[str, ...]:
    """Paths of the certified sections that luminosity masks read."""
    return tuple(dict.fromkeys(f.golden for f in folders(config) if f.golden is not None))


def correction_keys(config: Config) -> dict[str, set[str]]:
    """Keys that the configuration asks of each correction file.

    Raises
    ------
    InputError
        If a file is named but no key, so that nobody can say what it holds.
    """
    out: dict[str, set[str]] = {}
    for corrections in config.corrections.values():
        for correction in corrections:
            if correction.file is None:
                continue
            sources = correction.uncertainty_sources
            keys = {key for key in (correction.key, *(s.key for s in sources)) if key is not None}
            out.setdefault(inside(correction.file), set()).update(keys)
    for file, keys in out.items():
        if not keys:
            raise InputError(f"{file}: the configuration names no key in it, so it cannot be made")
    return out


def _simulated(config: Config) -> list[Folder]:
    """List the directories of simulation."""
    return [
        _folder(entry, i, kind_of(entry.name, directory), None)
        for entry in config.datasets.datasets
        if not entry.is_data
        for i, directory in enumerate(entry.directories)
    ]


def _data(config: Config) -> list[Folder]:
    """List the directories of collision data, which share sections and expected events."""
    entries = [entry for entry in config.datasets.datasets if entry.is_data]
    n_sharing = Counter(_golden(entry, i) for entry in entries for i in range(len(entry.years)))
    n_data = Counter(year for entry in entries for year in entry.years)
    seen: Counter[str | None] = Counter()
    out = []
    for entry in entries:
        for i, year in enumerate(entry.years):
            golden = _golden(entry, i)
            folder = replace(
                _folder(entry, i, None, golden),
                n_sharing=n_sharing[golden],
                sharing_index=seen[golden],
                n_data=n_data[year],
                mixture=_mixture(config, year),
            )
            out.append(folder)
            seen[golden] += 1
    return out


def _folder(entry: Dataset, index: int, kind: Kind | None, golden: str | None) -> Folder:
    """Describe one directory of a process."""
    return Folder(
        dataset=entry.keys()[index],
        year=entry.years[index],
        path=inside(entry.directories[index]),
        tree_name=entry.tree_name,
        has_listing=not entry.file_pattern.endswith(".root"),
        kind=kind,
        golden=golden,
    )


def _golden(entry: Dataset, index: int) -> str | None:
    """Find the file of certified sections among a luminosity mask's keyword arguments."""
    mask = entry.lumi_mask[index]
    values = [] if mask is None else mask.static_kwargs.values()
    files = [value for value in values if isinstance(value, str) and value.endswith(SECTION_FILES)]
    return inside(files[0]) if files else None


def _mixture(config: Config, year: str | None) -> tuple[Component, ...]:
    """List the backgrounds of a year and how many events of each are expected."""
    lumi_ipb = config.general.lumi_for(year)
    return tuple(
        Component(kind, xsec_pb * lumi_ipb)
        for entry in config.datasets.datasets
        if not entry.is_data
        for directory, xsec_pb, of in zip(
            entry.directories, entry.cross_sections, entry.years, strict=True
        )
        if of == year and (kind := kind_of(entry.name, directory)).model != "resonance"
    )

"""What a configuration expects to find on disk, checked before anything is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from correctionlib import schemav2

from intccms.errors import InputError
from intccms.sample import lumi
from intccms.sample.calibrations.corrections import correction_set
from intccms.sample.events.collisions import Expectation
from intccms.sample.events.kinds import Kind, kind_of
from intccms.sample.events.kinematics import Array
from intccms.sample.settings import settings
from intccms.schema import Config
from intccms.schema.datasets import Dataset

__all__ = ["Folder", "Plan", "plan"]

SECTION_FILES = (".json", ".txt")  # what a luminosity mask may be told to read


@dataclass(frozen=True, slots=True)
class Folder:
    """One directory of the configuration, which is one dataset, and how to fill it."""

    dataset: str
    path: str
    tree_name: str
    has_listing: bool
    absent: tuple[str, ...]  # branches that such files do not have
    kind: Kind | None  # None: collision data, for which there is
    golden: str  # the file of certified sections (or the dataset's name)
    sharing: tuple[int, int]  # place among data directories with the same sections, their number
    n_of_year: int  # data directories of this year, and
    expected: Expectation


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to be written."""

    folders: tuple[Folder, ...]
    corrections: dict[str, schemav2.CorrectionSet]
    golden_jsons: dict[str, lumi.Sections]  # also those that no file holds, by dataset


def plan(config: Config, seed: int) -> Plan:
    """List what a configuration reads.

    Raises
    ------
    InputError
        If a path is not below the working directory, or it cannot be told what to write there.
    """
    sets = {file: correction_set(file, keys) for file, keys in _correction_keys(config).items()}
    folders = tuple(_folders(config, sets))
    paths = Counter(folder.path.rstrip("/") for folder in folders)
    if twice := [path for path, count in paths.items() if count > 1]:
        raise InputError(f"two datasets share the directory {twice[0]!r}: each needs its own")
    if any(folder.kind is None and not folder.expected.components for folder in folders):
        raise InputError("collision data are a mixture of backgrounds, and there is none")
    goldens = {folder.golden: lumi.golden(folder.golden, seed) for folder in folders}
    return Plan(folders, sets, goldens)


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


def _folders(config: Config, sets: dict[str, schemav2.CorrectionSet]) -> list[Folder]:
    """List the directories of the datasets in ``general.processes``.

    Those of data share sections and expected events.
    """
    wanted, entries = config.general.processes, config.datasets.datasets
    entries = tuple(entry for entry in entries if wanted is None or entry.name in wanted)
    listed = [(entry, i) for entry in entries for i in range(len(entry.years))]
    goldens = [_golden(entry, i) for entry, i in listed]
    n_of_year = Counter(entry.years[i] for entry, i in listed if entry.is_data)
    n_sharing, seen = Counter(goldens), Counter[str]()
    years = {year for entry in config.datasets.datasets for year in entry.years}
    expected = {year: _expected(config, year, sets) for year in years}
    out = []
    for (entry, i), golden in zip(listed, goldens, strict=True):
        directory, year = _inside(entry.directories[i]), entry.years[i]
        kind = None if entry.is_data else kind_of(entry.name, directory)
        out.append(
            Folder(
                dataset=entry.keys()[i],
                path=directory,
                tree_name=entry.tree_name,
                has_listing=not entry.file_pattern.endswith(".root"),
                absent=_absent(year, kind),
                kind=kind,
                golden=golden,
                sharing=(seen[golden], n_sharing[golden]),
                n_of_year=n_of_year[year],
                expected=expected[year],
            )
        )
        seen[golden] += 1
    return out


def _absent(year: str | None, kind: Kind | None) -> tuple[str, ...]:
    """List the triggers that a year has not, and the weights that a generator does not make."""
    table = settings()["absent"]
    names = (*(() if year is None else (year[:4],)), *(() if kind is None else (kind.name,)))
    return tuple(branch for name in names for branch in table.get(name, ()))


def _golden(entry: Dataset, index: int) -> str:
    """Find the file of certified sections among a luminosity mask's keyword arguments."""
    mask = entry.lumi_mask[index]
    values = [] if mask is None else mask.static_kwargs.values()
    files = [value for value in values if isinstance(value, str) and value.endswith(SECTION_FILES)]
    return _inside(files[0]) if files else entry.keys()[index]


def _expected(
    config: Config, year: str | None, sets: dict[str, schemav2.CorrectionSet]
) -> Expectation:
    """List the backgrounds of a year, how many events of each are expected, and what is found."""
    lumi_ipb = config.general.lumi_for(year)
    backgrounds = [
        (kind_of(entry.name, directory), entry.cross_sections[i] * lumi_ipb)
        for entry in config.datasets.datasets
        for i, directory in enumerate(entry.directories)
        if not entry.is_data and entry.years[i] == year
    ]
    components = tuple((kind, n) for kind, n in backgrounds if kind.model != "resonance")
    return Expectation(components, _muon_efficiency(config, year, sets))


def _muon_efficiency(
    config: Config, year: str | None, sets: dict[str, schemav2.CorrectionSet]
) -> Callable[[Array, Array], Array]:
    """Multiply the muon scale factors that the configuration applies to simulation."""
    factors = [
        made.to_evaluator()
        for asked in config.corrections_for(year)
        if asked.file is not None and (asked.key or "").startswith("NUM_")
        for made in sets[asked.file].corrections
        if made.name == asked.key
    ]

    def efficiency(eta: Array, pt: Array) -> Array:
        found = (factor.evaluate(np.abs(eta), pt, "nominal") for factor in factors)
        return np.asarray(math.prod(found, start=np.ones(len(pt))))

    return efficiency

"""The whole configuration and the checks that need more than one part of it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from intccms.errors import nearest
from intccms.schema.base import FunctionSpec, KeyProblem, Model, Year, duplicates, setting
from intccms.schema.corrections import Correction, Scope, UncertaintySource
from intccms.schema.datasets import Dataset, Datasets, General
from intccms.schema.physics import Channel, DerivedColumn, ObjectMasks, Preprocess
from intccms.schema.resolved import as_json
from intccms.schema.statistics import Mva, Plotting, Statistics


def _by_year(value: Any) -> Any:
    if value is None or (isinstance(value, Mapping) and not value):
        return {None: ()}
    if isinstance(value, Mapping) and None in value and len(value) > 1:
        raise ValueError("either one list or one per year, not both")
    return value if isinstance(value, Mapping) else {None: value}


ByYear = Annotated[dict[Year | None, tuple[Correction, ...]], BeforeValidator(_by_year)]


class Config(Model):
    """Everything that a run needs to know; made by `load_config`."""

    general: General = Field(description="Luminosity, stages of the run, where things go.")
    datasets: Datasets = Field(description="The input files.")
    preprocess: Preprocess = setting(Preprocess(), "Columns of a skim and the skim itself.")
    good_object_masks: ObjectMasks = setting(ObjectMasks(), "Which objects are good.")
    baseline_selection: FunctionSpec | None = setting(
        None, "Selection of events before the channels; None: all events."
    )
    ghost_observables: tuple[DerivedColumn, ...] = setting((), "Derived columns.")
    channels: tuple[Channel, ...] = setting((), "Event selections.")
    corrections: ByYear = setting(
        {}, "Corrections with their uncertainties: one list, or one per year."
    )
    systematics: ByYear = setting(
        {}, "Variations without a nominal correction: one list, or one per year."
    )
    statistics: Statistics | None = setting(None, "Fit and limits.")
    plotting: Plotting = setting(Plotting(), "Look of the processes.")
    mva: tuple[Mva, ...] = setting((), "Multivariate classifiers.")

    _file: str | None = PrivateAttr(default=None)

    @property
    def file(self) -> str | None:
        """The file that this was read from; None: it was given as a dict."""
        return self._file

    def set_file(self, file: str | None) -> None:
        """Note the file that this was read from, which is no part of the configuration."""
        self._file = file

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_names(self)
        _check_choices(self)
        _check_years(self)
        _check_sources(self)
        return self

    def corrections_for(self, year: str | None) -> tuple[Correction, ...]:
        """Return what is applied in a year, in order: corrections, then systematics."""
        return (*_of_year(self.corrections, year), *_of_year(self.systematics, year))

    @property
    def processes(self) -> tuple[str, ...]:
        """Processes of this run: those of the datasets that `general.processes` allows."""
        wanted = self.general.processes
        names = self.datasets.processes
        return names if wanted is None else tuple(name for name in names if name in wanted)

    @property
    def active_channels(self) -> tuple[Channel, ...]:
        """Channels of this run: those that `general.channels` allows."""
        wanted = self.general.channels
        return tuple(entry for entry in self.channels if wanted is None or entry.name in wanted)

    @property
    def folded(self) -> frozenset[tuple[str, str]]:
        """Channels and observables whose first and last bin hold what lies outside as well."""
        return frozenset(
            (channel.name, one.name)
            for channel in self.channels
            for one in channel.observables
            if (one.flow or ("fold" if one.name == channel.fit_observable else "drop")) == "fold"
        )

    def is_signal(self, process: str) -> bool:
        """Return whether a process is a signal, fitted or not."""
        return any(one.is_signal for one in self.datasets.datasets if one.name == process)

    @property
    def signals(self) -> tuple[str, ...]:
        """Signal processes of this run, in the order of the datasets."""
        named = None if self.statistics is None else self.statistics.signals
        if named is not None:
            return tuple(name for name in self.processes if name in named)
        return tuple(p for p in self.processes if self.is_signal(p))

    @property
    def other_signals(self) -> tuple[str, ...]:
        """Signals, or what has a mass, that are not among `signals`: never a background."""
        masses = {} if self.statistics is None else self.statistics.masses_gev
        fitted = self.signals
        named = (p for p in self.processes if p not in fitted)
        return tuple(p for p in named if self.is_signal(p) or p in masses)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told about this configuration, one line each."""
        years = sorted({year for d in self.datasets.datasets for year in d.years if year})
        if isinstance(self.general.lumi, float) and len(years) > 1:
            each = ", ".join(f"{year!r}: …" for year in years)
            return (
                f"general.lumi = {self.general.lumi:g}/pb is applied to each of {len(years)} years "
                f"and overcounts; give one per year: {{{each}}}",
            )
        return ()

    def dump(self) -> dict[str, Any]:
        """Return the resolved configuration in terms of JSON, without secrets."""
        return dict(as_json(self))

    @property
    def sha256(self) -> str:
        """SHA-256 of `dump`, as hexadecimal digits."""
        text = json.dumps(self.dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _of_year(
    table: Mapping[str | None, tuple[Correction, ...]], year: str | None
) -> tuple[Correction, ...]:
    return table[None] if None in table else table.get(year, ())


def _check_known(where: str, what: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {what} {name!r}; {nearest(name, known)}")


def _check_names(config: Config) -> None:
    for where, names in {
        "channels": [entry.name for entry in config.channels],
        "mva": [entry.name for entry in config.mva],
    }.items():
        if twice := duplicates(names):
            raise ValueError(f"{where}: two entries are called {twice[0]!r}")
    columns = [
        f"{collection}.{name}"
        for derived in config.ghost_observables
        for name, collection in zip(derived.names, derived.collections, strict=True)
    ]
    if twice := duplicates(columns):
        raise ValueError(f"ghost_observables: the column {twice[0]!r} is made twice")


def _check_choices(config: Config) -> None:
    processes = config.datasets.processes
    channels = [entry.name for entry in config.channels]
    _check_known("general.processes", "process", config.general.processes or (), processes)
    _check_known("general.channels", "channel", config.general.channels or (), channels)
    if config.statistics is not None:
        statistics = config.statistics
        _check_known("statistics.signals", "process", statistics.signals or (), processes)
        _check_known("statistics.masses_gev", "process", statistics.masses_gev, processes)
        _check_known("statistics.blind", "channel", statistics.blind, channels)
        for pair in statistics.allow_overlap:
            _check_known("statistics.allow_overlap", "channel", pair, channels)
    for classifier in config.mva:
        try:
            classifier.check_processes(processes)
        except KeyProblem as problem:
            raise KeyProblem(f"mva.{classifier.name}.{problem.key}", str(problem)) from None


def _check_years(config: Config) -> None:
    tables: dict[str, Mapping[Any, Any]] = {
        "corrections": config.corrections,
        "systematics": config.systematics,
    }
    if isinstance(config.general.lumi, dict):
        tables["general.lumi"] = config.general.lumi
    for where, table in tables.items():
        if None in table:
            continue
        for dataset in config.datasets.datasets:
            for year in dataset.years:
                _check_year(where, table, dataset, year)


def _check_year(where: str, table: Mapping[Any, Any], dataset: Dataset, year: str | None) -> None:
    if year in table:
        return
    who = f"process {dataset.name!r}"
    if year is not None:
        raise ValueError(f"{where}: no year {year!r}, which {who} has; {nearest(year, table)}")
    if not dataset.is_data:
        raise ValueError(f"{where} is given per year, but {who} has no 'years'")
    lists = [entries for entries in table.values() if isinstance(entries, tuple)]
    for name in [entry.name for entries in lists for entry in entries if entry.applies_to != "mc"]:
        raise ValueError(f"{where}: {name!r} applies to data, but {who} has no 'years'")


def _check_sources(config: Config) -> None:
    for part in ("corrections", "systematics"):
        for year, entries in getattr(config, part).items():
            for entry in entries:
                where = [part, *([year] if year else []), entry.name]
                _check_scope(config, ".".join(where), entry)
    for year in sorted({*config.corrections, *config.systematics}, key=str):
        sources = list(_sources(config, year))
        movable = [source.name for _, entry, source in sources if entry.type == "object"]
        places: dict[str, tuple[str, Correction]] = {}
        for place, entry, source in sources:
            before, other = places.get(source.name, (None, entry))
            move_as_one = entry.type == other.type == "object" and entry is not other
            places.setdefault(source.name, (place, entry))
            if before is not None and not move_as_one:
                text = f"this source was named before, in {before}"
                raise ValueError(f"{place}: {text}; give each its own name")
            _check_scope(config, place, source)
            _check_known(f"{place}.varies_with", "object source", source.varies_with, movable)


def _check_scope(config: Config, place: str, scope: Scope) -> None:
    """Check the names of what a correction or a source is for."""
    years = dict.fromkeys(year for one in config.datasets.datasets for year in one.years if year)
    channels = [channel.name for channel in config.channels]
    for key, what, names, known in (
        ("processes", "process", scope.processes, config.datasets.processes),
        ("datasets", "dataset", scope.datasets, config.datasets.keys()),
        ("years", "year", scope.years, tuple(years)),
        ("channels", "channel", scope.channels, channels),
    ):
        _check_known(f"{place}.{key}", what, names or (), known)


def _sources(
    config: Config, year: str | None
) -> Iterator[tuple[str, Correction, UncertaintySource]]:
    for part in ("corrections", "systematics"):
        table = getattr(config, part)
        steps = [part] if year is None or None in table else [part, year]
        for entry in _of_year(table, year):
            for source in entry.uncertainty_sources:
                yield (
                    ".".join([*steps, entry.name, "uncertainty_sources", source.name]),
                    entry,
                    source,
                )

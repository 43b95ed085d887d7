"""Templates of a measurement: taken from the book, bins merged, and what was changed in them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from itertools import combinations
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from cabinetry import configuration, route

from intccms.errors import FitError, InputError, nearest
from intccms.histograms import NOMINAL, Book
from intccms.schema import Config, Statistics
from intccms.statistics.configuration import region_path, selected, settings

Action = Literal[
    "overlap", "left out", "dropped", "folded", "clipped", "filled", "reduced", "thin", "merged",
    "smoothed", "symmetrised", "pruned", "kept",
]  # fmt: skip
REPAIRS = ("overlap", "dropped", "folded", "clipped", "filled", "reduced", "thin", "merged")


@dataclass(frozen=True)
class Change:
    """One thing that was done to a template, or that a reader should know about it.

    Parameters
    ----------
    action
        ``overlap``: events that are in another region too, as is allowed; ``left out``: not in the
        workspace; ``dropped``, ``folded``: outside of the edges, and lost
        or in the first and last bin; ``clipped``: negative bins became 0; ``filled``:
        what simulation does not exclude where there was nothing; ``reduced``: more than can be;
        ``thin``: bins with little simulation; ``merged``: bins that were; ``kept``: nothing was
        done, though one could.
    region, sample
        Where.
    systematic, direction
        Of the template; both empty for the nominal one.
    reason
        Why, in words.
    amount, unit
        How much: the sum of the bins that were changed, or the largest relative change of a bin,
        for the norm alone that of the norm; of thin and merged bins the smallest effective number
        of background events.
    """

    action: Action
    region: str
    sample: str
    systematic: str
    direction: str
    reason: str
    amount: float
    unit: Literal["events", "relative"]

    @property
    def is_repair(self) -> bool:
        """Whether the fit should tell of it: a nominal template, or one that was empty."""
        return self.action in REPAIRS and not (self.action == "clipped" and self.systematic)

    def __str__(self) -> str:
        """One line."""
        where = (self.region, self.sample, f"{self.systematic} {self.direction}".strip())
        return f"{', '.join(part for part in where if part)}: {self.reason}"


def as_table(changes: Mapping[Change, Iterable[str]]) -> str:
    """Write changes as a table for humans, those of one action together.

    Parameters
    ----------
    changes
        Each with the signals in whose workspaces it was made.
    """
    order = get_args(Action)
    found = sorted(changes, key=lambda one: (order.index(one.action), astuple(one)))
    head = [field.name for field in fields(Change) if field.name != "unit"]
    rows = [[*map(str, astuple(one)[:6]), _amount(one)] for one in found]
    every = {signal for signals in changes.values() for signal in signals}
    for row, one in zip(rows, found, strict=True):
        missing = every - set(changes[one])
        row.append("all" if not missing else " ".join(changes[one]))
    table = [[*head, "signals"], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    return "\n".join(lines) + "\n"


def _amount(one: Change) -> str:
    return f"{one.amount:.3g} events" if one.unit == "events" else f"{100 * one.amount:.3g} %"


log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Direction = Literal["Up", "Down"] | None


class Template(NamedTuple):
    """Bin contents and their variances, without under- and overflow."""

    values: Array
    variances: Array


@dataclass(frozen=True)
class Region:
    """A fitted channel."""

    name: str
    observable: str
    label: str
    edges: Array
    blinded: npt.NDArray[np.bool_]  # bins in which the Asimov set stands in for data


@dataclass
class TemplateSet:
    """Templates by (region, sample, systematic, direction), and what was changed in them.

    A nominal template has the systematic ``""`` and the direction None.
    """

    config: dict[str, Any]
    regions: dict[str, Region] = field(default_factory=dict)
    templates: dict[tuple[str, str, str, Direction], Template] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    left_out: set[tuple[str, str]] = field(default_factory=set)  # (region, sample) without events
    is_silent: bool = False

    def note(self, change: Change) -> None:
        """Remember what was done; a repair is logged too, unless this is a copy of another."""
        self.changes.append(change)
        if change.is_repair and not self.is_silent:
            asked = change.action == "merged"  # by statistics.rebin
            log.log(logging.INFO if asked else logging.WARNING, "%s", change)

    def nominal(self, region: str, sample: str) -> Template:
        """Nominal template."""
        return self.templates[region, sample, "", None]

    def samples(self, region: str) -> list[str]:
        """Name the simulated samples of a region."""
        return [
            sample
            for (name, sample, _, direction) in self.templates
            if name == region and direction is None and sample != self.data
        ]

    @property
    def data(self) -> str:
        """Name of the sample of collision data."""
        return next(str(s["Name"]) for s in self.config["Samples"] if s.get("Data", False))

    def backgrounds(self, region: str) -> list[str]:
        """Name the simulated samples that the parameter of interest does not scale."""
        poi = self.config["General"]["POI"]
        factors = [f for f in self.config["NormFactors"] if f["Name"] == poi]
        if not factors:
            raise InputError(f"cabinetry configuration: no NormFactor is the POI {poi!r}")
        signals = [
            name
            for name in self.samples(region)
            if any(configuration.sample_contains_modifier({"Name": name}, f) for f in factors)
        ]
        return [name for name in self.samples(region) if name not in signals]

    def background(self, region: str) -> Array:
        """Nominal background of a region."""
        shape = self.regions[region].edges.size - 1
        names = self.backgrounds(region)
        return sum((self.nominal(region, name).values for name in names), np.zeros(shape))


def collect_templates(cabinetry: dict[str, Any], book: Book, config: Config) -> TemplateSet:
    """Read all templates that a cabinetry configuration asks for.

    Parameters
    ----------
    cabinetry
        Its ``RegionPath`` (``channel/observable``), ``SamplePath`` (process) and
        ``VariationPath`` name histograms of the book.
    book, config
        Histograms; `config` says what is blinded.

    Raises
    ------
    InputError
        If the configuration asks for something that is not in the book.
    FitError
        If a bin is not a number, or one of data below 0.
    """
    result = TemplateSet(cabinetry)
    book = selected(config, book)
    default = cabinetry["General"].get("VariationPath", NOMINAL)

    def read(
        region: dict[str, Any],
        sample: dict[str, Any],
        systematic: dict[str, Any],
        direction: Direction,
    ) -> None:
        key = (region["Name"], sample["Name"], systematic.get("Name", ""), direction)
        override = systematic.get(direction, {}) if direction is not None else {}
        path = override.get("RegionPath") or region_path(region)
        process = override.get("SamplePath") or sample.get("SamplePath") or sample["Name"]
        channel, _, observable = path.partition("/")
        if region["Name"] not in result.regions:
            result.regions[region["Name"]] = _region(book, region["Name"], path, config)
        if sample.get("Data", False) and not book.data_processes:
            return
        processes = [process] if isinstance(process, str) else process
        variation = override.get("VariationPath", default)
        template = _read(book, (channel, observable), processes, variation)
        if sample.get("Data", False) and (bad := np.flatnonzero(template.values < 0).tolist()):
            raise FitError(f"data of {path}: bins {bad} are below 0, nothing can be fitted")
        result.templates[key] = template

    route.apply_to_all_templates(cabinetry, read)
    for region in cabinetry["Regions"]:
        _note_outside(result, book, region["Name"], region_path(region))
        channel, _, observable = region_path(region).partition("/")
        for process in book.mc_processes:
            values = book.slice(channel, observable, process).values()
            if process not in result.samples(region["Name"]) and not values.any():
                where = (region["Name"], process, "", "")
                result.note(Change("left out", *where, "no events", 0.0, "events"))
    return result


def _region(book: Book, name: str, path: str, config: Config) -> Region:
    channel, _, observable = path.partition("/")
    axis = book.histogram(channel, observable).axes[0]
    edges = np.asarray(axis.edges, dtype=float)
    blinded = np.full(edges.size - 1, not book.data_processes)
    blind = settings(config).blind
    if channel in blind:
        fitted = {one.name: one.fit_observable for one in config.channels}[channel]
        # A range is one of the fit observable: in another one its events are anywhere.
        low, high = (blind[channel] if observable == fitted else None) or (-np.inf, np.inf)
        reach = book.reach(channel, observable)
        blinded |= (reach[1:] > low) & (reach[:-1] < high)
    return Region(name, observable, book.label(channel, observable), edges, blinded)


def _note_outside(result: TemplateSet, book: Book, region: str, path: str) -> None:
    """Name the processes with more than a little outside of the edges of their observable."""
    channel, _, observable = path.partition("/")
    is_folded = (channel, observable) in book.folded
    action: Action = "folded" if is_folded else "dropped"
    where = "in the first and last bin" if is_folded else "not in the fit"
    for process, fractions in book.far_outside(channel, observable).items():
        below, above = (f"{100 * one:.3g} %" for one in fractions)
        edges = result.regions[region].edges
        text = (
            f"outside of the edges are {below} below {edges[0]:g} and {above} above "
            f"{edges[-1]:g}, {where}"
        )
        result.note(Change(action, region, process, "", "", text, sum(fractions), "relative"))


def _read(book: Book, key: tuple[str, str], processes: list[str], variation: str) -> Template:
    """Sum of processes in one variation; a process without it gives its nominal."""
    known = {label for labels in book.varied.values() for label in labels}
    if variation != NOMINAL and variation not in known:
        raise InputError(
            f"cabinetry configuration: no variation {variation!r}; {nearest(variation, known)}"
        )
    views: list[Any] = [book.slice(*key, process, variation).view() for process in processes]
    values = np.sum([view["value"] for view in views], axis=0)
    result = Template(values, np.sum([view["variance"] for view in views], axis=0))
    if bad := np.flatnonzero(~np.isfinite(result).all(axis=0)).tolist():
        what = f"{'/'.join(key)}/{'+'.join(processes)}/{variation}"
        raise FitError(f"histogram {what}: bins {bad} are not a number, nothing can be fitted")
    return result


def overlaps(book: Book, regions: dict[str, str], settings: Statistics) -> Iterator[Change]:
    """Give what two regions have in common and are allowed to have.

    Parameters
    ----------
    book
        Knows the events that channels have in common; nothing is said of data that are blinded.
    regions
        Channel of each region.
    settings
        Say which pairs are allowed, and what is blinded.

    Raises
    ------
    FitError
        If a pair has events in common, and is not allowed to.
    """
    allowed = {frozenset(pair) for pair in settings.allow_overlap}
    for (region, one), (other_region, other) in combinations(regions.items(), 2):
        if one == other:
            text = f"regions {region!r} and {other_region!r} are both made of channel {one!r}"
            raise FitError(f"{text}: each event would count twice in the fit")
        is_blinded = bool({one, other} & settings.blind.keys())
        counts = {
            process: pairs.get((min(one, other), max(one, other)), 0)
            for process, pairs in book.overlaps.items()
            if process in book.processes and not (is_blinded and process in book.data_processes)
        }
        if not (total := sum(counts.values())):
            continue
        events = ", ".join(f"{count} of {process}" for process, count in counts.items() if count)
        if {one, other} not in allowed:
            raise FitError(
                f"channels {one!r} and {other!r} hold the same events ({events}), which would "
                "count twice in the fit: select them apart, or name the pair in "
                "statistics.allow_overlap"
            )
        text = f"shares events with {other_region} that count twice ({events})"
        yield Change("overlap", region, "", "", "", text, float(total), "events")


def rebin(result: TemplateSet, fewest: float) -> None:
    """Merge bins in place until each has enough background, from the last bin to the first.

    Parameters
    ----------
    result
        Templates as they were filled.
    fewest
        Effective background events (square of the sum of weights over the sum of their squares)
        of a bin, at least; a region that has less in all is one bin.
    """
    for name, region in result.regions.items():
        samples = [result.nominal(name, one) for one in result.backgrounds(name)]
        empty = np.zeros((2, region.edges.size - 1))
        values, variances = sum((np.asarray(one) for one in samples), empty)
        starts = _starts(values, variances, fewest)
        if len(starts) == values.size:
            continue
        for key, (contents, squares) in result.templates.items():
            if key[0] == name:
                merged = (np.add.reduceat(contents, starts), np.add.reduceat(squares, starts))
                result.templates[key] = Template(*merged)
        edges = np.append(region.edges[starts], region.edges[-1])
        blinded = np.logical_or.reduceat(region.blinded, starts)
        result.regions[name] = replace(region, edges=edges, blinded=blinded)
        text = f"{values.size} bins merged into {len(starts)}: {', '.join(f'{e:g}' for e in edges)}"
        result.note(Change("merged", name, "", "", "", text, fewest, "events"))


def _starts(values: Array, variances: Array, fewest: float) -> list[int]:
    """First bin of each group; what is left over at the low end joins its neighbour."""
    starts: list[int] = []
    stop = values.size
    for start in range(values.size - 1, -1, -1):
        total, variance = values[start:stop].sum(), variances[start:stop].sum()
        if total > 0 and total**2 >= fewest * variance:
            starts.append(start)
            stop = start
    if stop:
        starts = [*starts[:-1], 0]
    return starts[::-1]

"""Templates of a measurement as the book has them; pure but for the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from cabinetry import configuration, route

from intccms.errors import FitError, InputError, nearest
from intccms.histograms import NOMINAL, Book
from intccms.schema import Config
from intccms.statistics.changes import Action, Change
from intccms.statistics.configuration import region_path, selected, settings

__all__ = ["Region", "Template", "TemplateSet", "collect_templates"]

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Direction = Literal["Up", "Down"] | None
MOST_OUTSIDE = 0.01  # of a process, outside of the edges of the fitted observable, without a word


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
        If a bin is not a number.
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
        result.templates[key] = _read(book, (channel, observable), processes, variation)

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
    for process, fractions in book.outside(channel, observable).items():
        if max(abs(one) for one in fractions) > MOST_OUTSIDE:
            below, above = (f"{100 * one:.3g} %" for one in fractions)
            edges = result.regions[region].edges
            text = (
                f"outside of the edges are {below} below {edges[0]:g} and {above} above "
                f"{edges[-1]:g}, {where}"
            )
            change = Change(action, region, process, "", "", text, sum(fractions), "relative")
            result.note(change)


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

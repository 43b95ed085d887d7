"""Templates of a measurement: taken from the book, blinded and made fit for a likelihood.

Pure but for the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from cabinetry import configuration, route

from intccms.errors import FitError, InputError, nearest
from intccms.histograms import NOMINAL, Book
from intccms.schema import Config
from intccms.statistics.configuration import region_path, selected, settings

__all__ = ["Region", "Template", "TemplateSet", "collect_templates"]

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Direction = Literal["Up", "Down"] | None

FLOOR = 1e-3  # events in a bin without background: the likelihood needs more than 0
EMPTY = 1e-9  # events per bin of a sample without any in this region
LARGEST_MIRRORED = 1.9  # a one-sided change of norm by 2 would be mirrored to a norm of 0


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
    notes: list[str] = field(default_factory=list)

    def note(self, text: str, *arguments: object) -> None:
        """Remember and log something that a reader of the result should know."""
        message = text % arguments
        log.warning(message)
        self.notes.append(message)

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
    """All templates that a cabinetry configuration asks for, ready for the likelihood.

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
        If a region has no background at all.
    """
    result = TemplateSet(cabinetry)
    book = selected(config, book)
    default = cabinetry["General"].get("VariationPath", NOMINAL)
    blind = settings(config).blind

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
            result.regions[region["Name"]] = _region(book, region["Name"], path, blind)
        if sample.get("Data", False) and not book.data_processes:
            return
        processes = [process] if isinstance(process, str) else process
        variation = override.get("VariationPath", default)
        result.templates[key] = _read(book, (channel, observable), processes, variation)

    route.apply_to_all_templates(cabinetry, read)
    for region in result.regions:
        _repair_nominal(result, region)
        _repair_varied(result, region)
        _blind(result, region)
    return result


def _region(
    book: Book, name: str, path: str, blind: Mapping[str, tuple[float, float] | None]
) -> Region:
    channel, _, observable = path.partition("/")
    axis = book.histogram(channel, observable).axes[0]
    edges = np.asarray(axis.edges, dtype=float)
    blinded = np.full(edges.size - 1, not book.data_processes)
    if channel in blind:
        low, high = blind[channel] or (-np.inf, np.inf)
        blinded |= (edges[1:] > low) & (edges[:-1] < high)
    return Region(name, observable, axis.label or observable, edges, blinded)


def _read(book: Book, key: tuple[str, str], processes: list[str], variation: str) -> Template:
    """Sum of processes in one variation; a process without it gives its nominal."""
    known = {label for labels in book.varied.values() for label in labels}
    if variation != NOMINAL and variation not in known:
        raise InputError(
            f"cabinetry configuration: no variation {variation!r}; {nearest(variation, known)}"
        )
    views: list[Any] = [book.slice(*key, process, variation).view() for process in processes]
    values = np.sum([view["value"] for view in views], axis=0)
    return Template(values, np.sum([view["variance"] for view in views], axis=0))


def _repair_nominal(result: TemplateSet, region: str) -> None:
    """No negative sample, no bin without background: each is set to a small number and noted."""
    for sample in result.samples(region):
        values, variances = result.nominal(region, sample)
        if negative := int((values < 0).sum()):
            result.note("%s, %s: %d negative bins set to 0", region, sample, negative)
        if not (values > 0).any():
            result.note("%s, %s: template is empty", region, sample)
            values, variances = np.full_like(values, EMPTY), np.zeros_like(values)
        repaired = Template(np.maximum(values, 0.0), variances)
        result.templates[region, sample, "", None] = repaired
    empty = result.background(region) <= EMPTY * len(result.samples(region))
    if empty.all():
        raise FitError(f"{region}: no background in any bin, nothing can be fitted")
    if empty.any():
        _floor(result, region, empty)


def _floor(result: TemplateSet, region: str, empty: npt.NDArray[np.bool_]) -> None:
    """Put a small background with an error of 100 % where there is none."""
    names = result.backgrounds(region)
    largest = max(names, key=lambda name: result.nominal(region, name).values.sum())
    values, variances = result.nominal(region, largest)
    floored = Template(np.where(empty, FLOOR, values), np.where(empty, FLOOR**2, variances))
    result.templates[region, largest, "", None] = floored
    for key, template in result.templates.items():
        if key[:2] == (region, largest) and key[3] is not None:
            values = np.where(empty, FLOOR, template.values)
            result.templates[key] = Template(values, template.variances)
    bins = [int(index) for index in np.flatnonzero(empty)]
    result.note("%s: bins %s have no background, set to %g events", region, bins, FLOOR)


def _repair_varied(result: TemplateSet, region: str) -> None:
    """Variations with the same guarantees as the nominal."""
    mirrored = {
        systematic["Name"]
        for systematic in result.config.get("Systematics", [])
        if systematic.get("Down", {}).get("Symmetrize", False)
    }
    for key, template in list(result.templates.items()):
        name, sample, systematic, direction = key
        if name != region or direction is None:
            continue
        nominal = result.nominal(region, sample).values
        values = np.maximum(template.values, 0.0)
        if nominal.max() <= EMPTY:
            values = nominal
        elif values.sum() <= 0:
            values = nominal * EMPTY
            result.note("%s, %s: %s %s is empty", *key)
        elif systematic in mirrored and values.sum() > LARGEST_MIRRORED * nominal.sum():
            values = values * (LARGEST_MIRRORED * nominal.sum() / values.sum())
            result.note("%s, %s: %s %s doubles the norm, reduced to be mirrored", *key)
        result.templates[key] = Template(values, template.variances)


def _blind(result: TemplateSet, region: str) -> None:
    """Put the background-only prediction where data may not be looked at."""
    blinded = result.regions[region].blinded
    key = (region, result.data, "", None)
    background = result.background(region)
    values = result.templates[key].values if key in result.templates else background
    values = np.where(blinded, background, values)
    result.templates[key] = Template(values, values)
    if blinded.any():
        log.info("%s: the expected background stands in for data in blinded bins", region)

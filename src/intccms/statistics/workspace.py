"""HistFactory workspaces, one per signal, built by cabinetry from the book."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import histo
from cabinetry import workspace as cabinetry_workspace

from intccms.errors import FitError, InputError
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics.configuration import (
    NO_PRUNING,
    Thresholds,
    build_config,
    cabinetry_config,
    region_path,
    selected,
    settings,
    signal_processes,
    thresholds,
)
from intccms.statistics.repairs import repair
from intccms.statistics.templates import (
    Change,
    Region,
    TemplateSet,
    collect_templates,
    overlaps,
    rebin,
)

Modifier = dict[str, Any]

# pyhf warns of the least expectation of a bin at each model, of which toys need hundreds.
logging.getLogger("pyhf.pdf").addFilter(lambda record: "Clipping expected" not in str(record.msg))

MOST_LOST = 0.01  # of the variance of a signal strength: 0.5 % of its error and of limits


def pruned(
    spec: dict[str, Any], limits: Thresholds, *, most_lost: float = MOST_LOST
) -> tuple[dict[str, Any], list[Change]]:
    """Leave out what is below the thresholds, and note what is odd about the rest.

    Parameters
    ----------
    spec
        Workspace of pyhf; it stays as it is.
    limits
        Thresholds; 0 keeps everything.
    most_lost
        What the square of the error of any signal strength may lose in all, relative: the
        smallest effects are left out until then. One source that moves the background by d adds
        (s V^-1 d)^2 / (1 + d V^-1 d) to (s V^-1 s) of a signal s, at most a share of d V^-1 d,
        where V is the variance of the data.

    Returns
    -------
    spec, changes
        A workspace without what has no effect.
    """
    poi = spec["measurements"][0]["config"]["poi"]
    changes: list[Change] = []
    weak: list[tuple[float, Change, Modifier]] = []
    for channel in spec["channels"]:
        signals = [s for s in channel["samples"] if any(m["name"] == poi for m in s["modifiers"])]
        variance = np.sum([one["data"] for one in channel["samples"] if one not in signals], axis=0)
        for sample in channel["samples"]:
            known = (variance > 0) & (sample not in signals)
            for modifier in sample["modifiers"]:
                where = (channel["name"], sample["name"], modifier["name"])
                for note, effect in _notes(where, modifier, sample["data"], limits):
                    if note.action == "pruned":
                        size = float((effect[known] ** 2 / variance[known]).sum() ** 0.5)
                        weak.append((size, note, modifier))
                    else:
                        changes.append(note)
    lost, sizes, dropped = 0.0, dict.fromkeys((note.systematic for _, note, _ in weak), 0.0), set()
    for size, note, modifier in sorted(weak, key=lambda one: (one[0], astuple(one[1]))):
        lost += size**2 + 2 * size * sizes[note.systematic]  # effects of one source may add up
        if lost > most_lost:
            break
        sizes[note.systematic] += size
        dropped.add(id(modifier))
        changes.append(note)
    channels = []
    for channel in spec["channels"]:
        samples = [
            {**one, "modifiers": [m for m in one["modifiers"] if id(m) not in dropped]}
            for one in channel["samples"]
        ]
        channels.append({**channel, "samples": samples})
    return without_unused({**spec, "channels": channels}), changes


def _notes(
    where: tuple[str, str, str], modifier: Modifier, nominal: list[float], limits: Thresholds
) -> Iterator[tuple[Change, npt.NDArray[np.float64]]]:
    """Say what there is to say about a modifier, perhaps that it is weak; and its effect."""
    data, bins = modifier["data"], np.asarray(nominal, dtype=float)
    if modifier["type"] == "normsys":
        effects = np.asarray([data["hi"], data["lo"]]) - 1.0
        largest, smallest = float(abs(effects).max()), float(abs(effects).min())
        if largest < limits.Normalization:
            text = f"norm changes less than {limits.Normalization:g}"
            yield Change("pruned", *where, "", text, largest, "relative"), largest * bins
        elif effects.prod() > 0 and smallest >= limits.Normalization:
            text = f"up and down both {'raise' if data['hi'] > 1 else 'lower'} the norm"
            yield Change("kept", *where, "", text, smallest, "relative"), largest * bins
    elif modifier["type"] == "histosys":
        sides = np.asarray([data["hi_data"], data["lo_data"]], dtype=float)
        change = abs(sides - bins).max(axis=0)
        if change[bins <= 0].any():  # events where there were none
            return
        largest = float((change[bins > 0] / bins[bins > 0]).max(initial=0.0))
        if largest < limits.Shape:
            text = f"shape changes less than {limits.Shape:g}"
            yield Change("pruned", *where, "", text, largest, "relative"), change


def without_unused(spec: dict[str, Any]) -> dict[str, Any]:
    """Forget the settings of parameters that are in no sample of a workspace any more."""
    used = {
        one["name"]
        for channel in spec["channels"]
        for sample in channel["samples"]
        for one in sample["modifiers"]
    }
    measurements = []
    for one in spec["measurements"]:
        parameters = [p for p in one["config"]["parameters"] if p["name"] in used]
        config = {**one["config"], "parameters": parameters}
        measurements.append({**one, "config": config})
    return {**spec, "measurements": measurements}


log = logging.getLogger(__name__)

# A strongly negative signal strength would make the expectation negative, and log(L) not a number.
SMALLEST_EXPECTATION = 1e-10
LOWEST, HIGHEST = 1e-10, 10.0  # range that pyhf gives to the statistical error of a bin
N_SIGMAS = 5.0  # up to which such a parameter may go at least
LARGE = 0.3  # relative error: fewer than ten simulated events


@dataclass(frozen=True)
class Workspace:
    """A pyhf workspace and what it does not hold: edges, labels, blinding, what was changed."""

    signal: str
    spec: dict[str, Any]
    regions: tuple[Region, ...]
    changes: tuple[Change, ...] = ()
    unreduced: dict[str, Any] | None = None  # with nothing smoothed or pruned, where that differs

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result should know: one line for each template repaired."""
        return tuple(str(one) for one in self.changes if one.is_repair)

    @property
    def is_blinded(self) -> bool:
        """Whether in some bins the expected background stands in for data."""
        return any(bool(region.blinded.any()) for region in self.regions)

    def model_and_data(self) -> tuple[pyhf.Model, list[float]]:
        """Model (interpolation codes 4 and 4p) and the data, auxiliary data included."""
        workspace = pyhf.Workspace(self.spec, validate=False)  # done when it was built
        model = workspace.model(
            modifier_settings={
                "normsys": {"interpcode": "code4"},
                "histosys": {"interpcode": "code4p"},
            },
            clip_bin_data=SMALLEST_EXPECTATION,
            validate=False,
        )
        return model, workspace.data(model)

    def systematics(self, region: str) -> set[str]:
        """Name the systematics of a region, those that were pruned too."""
        channel = next(one for one in self.spec["channels"] if one["name"] == region)
        return {
            one["name"]
            for sample in channel["samples"]
            for one in sample["modifiers"]
            if one["type"] in ("normsys", "histosys")
        } | {one.systematic for one in self.changes if one.region == region and one.systematic}

    def region(self, name: str) -> Region:
        """Fitted channel of that name."""
        return next(region for region in self.regions if region.name == name)


def build_workspace(config: Config, book: Book, signal: str) -> Workspace:
    """Workspace of one signal, valid against pyhf's schema.

    Parameters
    ----------
    config
        Channels, and the ``statistics`` block.
    book
        Histograms of all processes.
    signal
        The process whose strength is the parameter of interest.

    Raises
    ------
    InputError
        If the user's cabinetry configuration asks for what was not filled.
    FitError
        If no likelihood can be built from the templates.
    """
    for workspace in _workspaces(config, book, build_config(config, book, signal), [signal]):
        return workspace
    raise FitError(f"{signal} has no events in any fitted channel")


def build_workspaces(config: Config, book: Book) -> tuple[Workspace, ...]:
    """One workspace per signal; one without events is left out, and the log says so.

    Raises
    ------
    InputError
        If there is no signal, or the cabinetry configuration and the book do not fit together.
    FitError
        If no likelihood can be built, or no signal has events in a fitted channel.
    """
    book = selected(config, book)
    named = signal_processes(config, book)
    cabinetry = cabinetry_config(config, book)
    paths = [region_path(region).partition("/") for region in cabinetry["Regions"]]
    filled = [
        name
        for name in named
        if any(not book.slice(one[0], one[2], name).values().max() <= 0 for one in paths)
    ]
    for name in (one for one in named if one not in filled):
        log.warning("%s has no events in any fitted channel: no fit, no limit", name)
    found = tuple(_workspaces(config, book, cabinetry, filled)) if filled else ()
    if not found:
        raise FitError(f"no signal has events in a fitted channel: {', '.join(named)}")
    return found


def _workspaces(
    config: Config, book: Book, cabinetry: dict[str, Any], signals: Sequence[str]
) -> Iterator[Workspace]:
    """One workspace per signal; the templates are read and repaired once for all."""
    names = [sample["Name"] for sample in cabinetry["Samples"]]
    for signal in signals:
        if signal not in names:
            raise InputError(f"no sample {signal!r} in the cabinetry configuration; it has {names}")
    channels = {one["Name"]: region_path(one).partition("/")[0] for one in cabinetry["Regions"]}
    shared = list(overlaps(selected(config, book), channels, settings(config)))
    collected = collect_templates(cabinetry, book, config)
    for change in shared:
        collected.note(change)
    if (fewest := settings(config).rebin) is not None:
        rebin(collected, fewest)
    full = _without_smoothing(collected)
    repair(collected)
    least = thresholds(cabinetry.get("Pruning", {})) if settings(config).pruning else NO_PRUNING
    whole = _build(cabinetry, collected)
    asked = bool(cabinetry.get("Pruning"))  # by name: then as much as that leaves out
    spec, changes = pruned(whole, least, most_lost=math.inf if asked else MOST_LOST)
    if any(one.action == "smoothed" for one in collected.changes):
        repair(full)
        whole = _build(cabinetry, full)
    regions = tuple(collected.regions.values())
    for signal in signals:
        others = set(signals) - {signal}
        own = _without_samples(spec, others)
        if all(sample["name"] != signal for one in own["channels"] for sample in one["samples"]):
            log.warning("%s has no events in any fitted channel: no fit, no limit", signal)
            continue
        try:
            pyhf.Workspace(own)  # validates against the schema workspace.json
        except pyhf.exceptions.InvalidSpecification as error:
            raise FitError(f"workspace of {signal}: {' '.join(str(error).split())}") from error
        own_changes = [one for one in (*collected.changes, *changes) if one.sample not in others]
        is_reduced = any(one.action in ("smoothed", "pruned") for one in own_changes)
        unreduced = _without_samples(whole, others) if is_reduced else None
        yield Workspace(signal, own, regions, tuple(own_changes), unreduced)


def _without_smoothing(collected: TemplateSet) -> TemplateSet:
    """Return a copy in which nothing is to be smoothed."""
    systematics = [
        {name: value for name, value in one.items() if name != "Smoothing"}
        for one in collected.config.get("Systematics", [])
    ]
    return replace(
        collected,
        config={**collected.config, "Systematics": systematics},
        regions=dict(collected.regions),
        templates=dict(collected.templates),
        changes=[],
        left_out=set(),
        is_silent=True,
    )


def _without_samples(spec: dict[str, Any], names: set[str]) -> dict[str, Any]:
    channels = [
        {**one, "samples": [sample for sample in one["samples"] if sample["name"] not in names]}
        for one in spec["channels"]
    ]
    return without_unused({**spec, "channels": channels})


def _build(cabinetry: dict[str, Any], collected: TemplateSet) -> dict[str, Any]:
    """Workspace as cabinetry builds it.

    cabinetry reads templates from files only, so they live in a folder for a moment.
    """
    regions = {region["Name"]: region for region in cabinetry["Regions"]}
    samples = {sample["Name"]: sample for sample in cabinetry["Samples"]}
    systematics = {entry["Name"]: entry for entry in cabinetry.get("Systematics", [])}
    with tempfile.TemporaryDirectory(prefix="intccms-templates-") as folder:
        local = {**cabinetry, "General": {**cabinetry["General"], "HistogramFolder": folder}}
        # What is to be mirrored has been: each source has both sides.
        local["Systematics"] = [{**one, "Down": {}} for one in systematics.values()]
        for (region, sample, systematic, direction), template in collected.templates.items():
            name = histo.name(
                regions[region],
                samples[sample],
                systematics.get(systematic, {}),
                template=direction,
            )
            edges = collected.regions[region].edges
            errors = np.sqrt(template.variances)
            histo.Histogram.from_arrays(edges, template.values, errors).save(Path(folder) / name)
        return _completed(cabinetry_workspace.build(local, with_validation=False), collected)


def _completed(spec: dict[str, Any], collected: TemplateSet) -> dict[str, Any]:
    """Leave out empty samples, and give statistical errors what cabinetry does not.

    Signals have parameters of their own: a common one would have the error of background and
    signal relative to their sum at a strength of 1, and the limit would depend on the cross
    section that the signal was simulated with.
    """
    ranges = []
    for channel in spec["channels"]:
        backgrounds = collected.backgrounds(channel["name"])
        left_out = {name for region, name in collected.left_out if region == channel["name"]}
        channel["samples"] = [one for one in channel["samples"] if one["name"] not in left_out]
        squares: dict[str, Any] = {}
        for sample in channel["samples"]:
            for one in (m for m in sample["modifiers"] if m["type"] == "staterror"):
                if sample["name"] not in backgrounds:
                    one["name"] = f"{one['name']}_{sample['name']}"
                pair = np.asarray([sample["data"], np.square(one["data"])])
                squares[one["name"]] = squares.get(one["name"], 0.0) + pair
        for name, (values, variances) in squares.items():
            relative = np.sqrt(variances) / np.where(values > 0, values, np.inf)
            bounds = _ranges(relative, is_signal=name != f"staterror_{channel['name']}")
            if (relative > LARGE).any():
                ranges.append({"name": name, "bounds": bounds})
    for measurement in spec["measurements"]:
        measurement["config"]["parameters"] += ranges
    return spec


def _ranges(relative: npt.NDArray[np.float64], *, is_signal: bool) -> list[list[float]]:
    """Ranges of factors with large relative errors; a signal never goes to 0.

    There a normal distribution would allow what a Poisson distribution of simulated events
    excludes: any strength, as no signal is left. For 1 to 10 simulated events the lower end is
    just below the lower limit of such a distribution at 95 %: 0.05 for one event.
    """
    highest = np.maximum(HIGHEST, 1.0 + N_SIGMAS * relative)
    lowest = np.where(is_signal & (relative > LARGE), np.exp(-3.0 * relative), LOWEST)
    return [[float(low), float(high)] for low, high in zip(lowest, highest, strict=True)]

"""The cabinetry configuration: generated from what was filled, or read from the user's file.

Reads and writes one YAML file; cabinetry's words (Region, Sample) start here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import yaml
from cabinetry import configuration

from intccms.errors import FitError, InputError, nearest
from intccms.histograms import NOMINAL, Book, uncertainty_sources
from intccms.schema import Config, Statistics
from intccms.storage import write_text

log = logging.getLogger(__name__)

CabinetryConfig = dict[str, Any]


class Thresholds(NamedTuple):
    """Relative effects below which a systematic is left out of a sample in a region."""

    Normalization: float = 1e-3  # of the norm
    Shape: float = 1e-3  # of any bin, the norm kept


NO_PRUNING = Thresholds(0.0, 0.0)


def thresholds(block: object) -> Thresholds:
    """Read ``Pruning`` of a cabinetry configuration, which cabinetry itself does not know.

    Raises
    ------
    InputError
        If it is not as it should be; one line.
    """
    if not isinstance(block, Mapping):
        raise InputError(f"Pruning: {block!r} is not a table of {', '.join(Thresholds._fields)}")
    for name, value in block.items():
        if name not in Thresholds._fields:
            raise InputError(f"Pruning: no key {name!r}; {nearest(name, Thresholds._fields)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise InputError(f"Pruning.{name}: {value!r} is not a number from 0 on")
    return Thresholds(**block)


HEAD = """\
# Name this file in statistics.cabinetry_config to edit and keep it. Beside cabinetry's own keys
# intccms reads the relative effects below which a systematic is left out; 0 leaves out none:
# Pruning: {{Normalization: {:g}, Shape: {:g}}}
""".format(*Thresholds())


def settings(config: Config) -> Statistics:
    """Statistics block of a configuration, its defaults where there is none."""
    return config.statistics or Statistics()


def signal_processes(config: Config, book: Book) -> tuple[str, ...]:
    """Name the signal processes, each of which is fitted alone.

    Raises
    ------
    InputError
        If there is none, or if one that the configuration names has no histograms.
    """
    book = selected(config, book)
    if settings(config).signals is None:
        found = tuple(name for name in config.signals if name in book.mc_processes)
    else:
        found = config.signals
    for name in found:
        if name not in book.mc_processes:
            raise InputError(
                f"statistics.signals: no histograms of {name!r}; {nearest(name, book.mc_processes)}"
            )
    if not found:
        raise InputError(
            f"no signal to fit among {list(book.mc_processes)}: name it in statistics.signals"
        )
    return found


def selected(config: Config, book: Book) -> Book:
    """Leave out what ``general.channels`` and ``general.processes`` leave out.

    Saved histograms may hold more than this run asks for. What lies outside of the edges is where
    the configuration wants it.
    """
    channels = {channel.name for channel in config.active_channels}
    return replace(
        book,
        histograms={key: one for key, one in book.histograms.items() if key[0] in channels},
        varied={name: labels for name, labels in book.varied.items() if name in config.processes},
        data_processes=tuple(name for name in book.data_processes if name in config.processes),
        folded=config.folded,
    )


def check_cabinetry_config(config: Config) -> None:
    """Read the user's cabinetry configuration, if there is one, before there is a book.

    Raises
    ------
    InputError
        If the file is not a cabinetry configuration, or asks for channels, observables or
        processes that this run does not have; one line.
    """
    named = settings(config).cabinetry_config
    if named is None or not (path := config.general.input_path(named)).exists():
        return
    loaded = _load(path)
    observables = {
        f"{channel.name}/{one.name}"
        for channel in config.active_channels
        for one in channel.observables
    }
    for region in loaded["Regions"]:
        _known(path, "observable", region_path(region), observables)
    for sample in loaded["Samples"]:
        processes = sample.get("SamplePath") or sample["Name"]
        if sample.get("Data", False) and not _has_data(config):
            continue
        for process in [processes] if isinstance(processes, str) else processes:
            _known(path, "process", process, config.processes)


def region_path(region: dict[str, Any]) -> str:
    """Channel and observable of a region, as ``channel/observable``."""
    return str(region.get("RegionPath") or f"{region['Name']}/{region.get('Variable', '')}")


def _has_data(config: Config) -> bool:
    return any(one.is_data and one.name in config.processes for one in config.datasets.datasets)


def _known(path: Path, what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        hint = nearest(name, known)
        raise InputError(f"cabinetry configuration {path}: this run has no {what} {name!r}; {hint}")


def cabinetry_config(config: Config, book: Book) -> CabinetryConfig:
    """Read the user's configuration if its file exists, else generate and write one.

    Parameters
    ----------
    config
        ``statistics.cabinetry_config`` names the file; without it a new one is written to
        ``<output_dir>/statistics/cabinetry.yml``.
    book
        What the regions, samples and systematics are made of.

    Raises
    ------
    InputError
        If the file is not a cabinetry configuration.
    """
    book = selected(config, book)
    named = settings(config).cabinetry_config
    if named is None:
        path = config.general.path("output_dir") / "statistics" / "cabinetry.yml"
    else:
        path = config.general.input_path(named)
        if path.exists():
            log.info("cabinetry configuration read from %s", path)
            return _load(path)
    generated = generate(config, book, signal_processes(config, book))
    write_text(path, HEAD + yaml.safe_dump(generated, sort_keys=False, allow_unicode=True))
    log.info("cabinetry configuration written to %s", path)
    return generated


def build_config(config: Config, book: Book, signal: str) -> CabinetryConfig:
    """Cabinetry configuration of one signal, the others left out.

    Parameters
    ----------
    config, book
        As for `cabinetry_config`.
    signal
        One of `signal_processes`.

    Raises
    ------
    InputError
        If the configuration has no sample of that name.
    """
    others = set(signal_processes(config, book)) - {signal}
    result = cabinetry_config(config, book)
    samples = [sample for sample in result["Samples"] if sample["Name"] not in others]
    names = [sample["Name"] for sample in samples]
    if signal not in names:
        raise InputError(f"no sample {signal!r} in the cabinetry configuration; it has {names}")
    result = {**result, "Samples": samples}
    for block in ("NormFactors", "Systematics"):
        result[block] = [_without(entry, others) for entry in result.get(block, [])]
        result[block] = [entry for entry in result[block] if entry.get("Samples") != []]
    return result


def _without(entry: dict[str, Any], others: set[str]) -> dict[str, Any]:
    """Drop the other signals from a modifier."""
    named = entry.get("Samples")
    if named is None:
        return entry
    names = [named] if isinstance(named, str) else named
    return {**entry, "Samples": [name for name in names if name not in others]}


def _load(path: Path) -> CabinetryConfig:
    """Read and validate a cabinetry configuration."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        pruning = loaded.pop("Pruning", {}) if isinstance(loaded, dict) else {}
        configuration.validate(loaded)
    except jsonschema.ValidationError as error:
        best = jsonschema.exceptions.best_match(error.context or [error]) or error  # of anyOf
        where = ".".join(str(part) for part in best.absolute_path) or "top level"
        reason = f"{where}: {best.message}"
    except (OSError, UnicodeDecodeError, yaml.YAMLError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())
    else:
        poi = loaded["General"].get("POI")
        if not poi:
            raise InputError(f"cabinetry configuration {path}: General.POI is missing")
        if poi not in (factor["Name"] for factor in loaded.get("NormFactors", [])):
            raise InputError(f"cabinetry configuration {path}: no NormFactor is the POI {poi!r}")
        try:
            thresholds(pruning)
        except InputError as error:
            raise InputError(f"cabinetry configuration {path}: {error}") from None
        return {**loaded, "Pruning": pruning}
    raise InputError(f"cabinetry configuration {path}: {reason}")


POI = "signal_strength"
FEWEST_BINS = 10  # of a shape that is smoothed: running medians of fewer flatten what is real


def generate(config: Config, book: Book, signals: Sequence[str]) -> dict[str, Any]:
    """Make a configuration of the channels, processes and variations of a book.

    The paths are those of ``histograms.root``, so cabinetry's own commands read it as well.

    Parameters
    ----------
    config, book
        What was asked for and what was filled, of the channels and processes of this run.
    signals
        Processes whose strength may be fitted.

    Raises
    ------
    InputError
        If no channel has an observable to fit.
    FitError
        If no signal has events.
    """
    regions = _regions(config, book)
    samples = _samples(config, book, regions)
    processes = [sample["Name"] for sample in samples[1:]]
    signals = [name for name in signals if name in processes]
    if not signals:
        raise FitError("the signal has no events in any fitted channel")
    output = Path(config.general.output_dir)
    result = {
        "General": {
            "Measurement": "intccms",
            "POI": POI,
            "InputPath": f"{output / 'histograms' / 'histograms.root'}"
            ":{RegionPath}/{SamplePath}/{VariationPath}",
            "HistogramFolder": str(output / "statistics" / "templates"),
            "VariationPath": NOMINAL,
        },
        "Regions": regions,
        "Samples": samples,
        "NormFactors": [
            {
                "Name": POI,
                "Samples": signals,
                "Nominal": 1.0,
                "Bounds": _bounds(book, regions, processes, signals),
            }
        ],
        "Systematics": _systematics(config, book, regions, processes),
    }
    configuration.validate(result)
    return result


def _regions(config: Config, book: Book) -> list[dict[str, Any]]:
    regions = [
        {
            "Name": channel.name,
            "Variable": channel.fit_observable,
            "RegionPath": f"{channel.name}/{channel.fit_observable}",
        }
        for channel in config.active_channels
        if channel.fit_observable is not None and channel.name in book.channels
    ]
    if not regions:
        raise InputError("no channel to fit: none of those that were filled has a fit_observable")
    return regions


def _samples(config: Config, book: Book, regions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the samples with the regions they have events in; collision data first.

    A signal that is not to be fitted is no background either.
    """
    data: dict[str, Any] = {"Name": "data", "SamplePath": "data", "Data": True}
    if book.data_processes:
        paths = list(book.data_processes)
        data["Name"] = paths[0] if len(paths) == 1 else "data"
        data["SamplePath"] = paths[0] if len(paths) == 1 else paths
    samples = [data]
    left_out = config.other_signals
    for process in (one for one in book.mc_processes if one not in left_out):
        filled = [
            region["Name"]
            for region in regions
            if book.slice(region["Name"], region["Variable"], process).values().any()
        ]
        sample: dict[str, Any] = {"Name": process, "SamplePath": process}
        if not filled:
            log.warning("%s has no events in any fitted channel and is left out", process)
            continue
        if len(filled) < len(regions):
            sample["Regions"] = filled
        samples.append(sample)
    return samples


def _systematics(
    config: Config, book: Book, regions: list[dict[str, Any]], processes: list[str]
) -> list[dict[str, Any]]:
    """One nuisance parameter per source, with the processes that it was evaluated for."""
    result = []
    moving = _sources_of_objects(config)
    is_smoothed = config.statistics is not None and config.statistics.smoothing
    backgrounds = [name for name in processes if name not in config.signals]
    for source in uncertainty_sources(book, processes):
        evaluated = {label for name in processes for label in book.varied[name]}
        labels = [name for name in (f"{source}_up", f"{source}_down") if name in evaluated]
        # A source with one side only is mirrored; cabinetry wants the one that exists as Up.
        down = {"VariationPath": labels[1]} if len(labels) > 1 else {"Symmetrize": True}
        systematic: dict[str, Any] = {
            "Name": source,
            "Type": "NormPlusShape",
            "Samples": [name for name in processes if set(labels) & set(book.varied[name])],
            "Up": {"VariationPath": labels[0]},
            "Down": down,
        }
        noisy = [
            name
            for name in backgrounds
            if is_smoothed and source in moving and _is_noisy(book, regions, name, labels)
        ]
        if noisy:
            systematic["Smoothing"] = {"Algorithm": "353QH, twice", "Samples": noisy}
        result.append(systematic)
    return result


def _sources_of_objects(config: Config) -> set[str]:
    """Name the sources that move events from bin to bin, in any year."""
    corrections = [
        correction
        for table in (config.corrections, config.systematics)
        for listed in table.values()
        for correction in listed
        if correction.type == "object"
    ]
    return {source.name for one in corrections for source in one.uncertainty_sources}


def _is_noisy(
    book: Book, regions: list[dict[str, Any]], process: str, labels: Sequence[str]
) -> bool:
    """Whether what a source does to the shape may be a fluctuation.

    It may where the change of the shape, averaged over the bins, is smaller than the statistical
    error of the template: chi2 per bin below 1, the errors taken as if the events were others.
    """
    labels = [label for label in labels if label in book.varied[process]]
    chi2, n_bins = 0.0, 0
    for region in regions:
        key = (region["Name"], region["Variable"], process)
        view: Any = book.slice(*key).view()
        nominal, variance = view["value"], view["variance"]
        filled = (nominal > 0) & (variance > 0)
        for label in labels:
            varied = book.slice(*key, label).values()
            if filled.sum() < FEWEST_BINS or varied.sum() <= 0:
                continue
            change = varied * (nominal.sum() / varied.sum()) - nominal
            chi2 += float((change[filled] ** 2 / variance[filled]).sum())
            n_bins += int(filled.sum())
    return 0 < chi2 < n_bins


def _bounds(
    book: Book, regions: list[dict[str, Any]], processes: list[str], signals: list[str]
) -> list[float]:
    """Range of the signal strength: ten times its rough statistical error, at least 10."""
    widest = 10.0
    backgrounds = [process for process in processes if process not in signals]
    for signal in signals:
        information = 0.0
        for region in regions:
            key = (region["Name"], region["Variable"])
            events = book.slice(*key, signal).values()
            expected = np.sum([book.slice(*key, name).values() for name in backgrounds], axis=0)
            information += float((events**2 / (abs(events) + abs(expected) + 1.0)).sum())
        if information > 0:
            widest = max(widest, 10.0 / math.sqrt(information))
    widest = float(10 ** math.ceil(math.log10(widest) - 1e-9))
    return [-widest, widest]

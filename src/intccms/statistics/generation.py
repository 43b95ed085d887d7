"""A cabinetry configuration made of the channels, processes and variations that were filled."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cabinetry import configuration

from intccms.errors import FitError, InputError
from intccms.histograms import NOMINAL, Book, uncertainty_sources
from intccms.schema import Config

__all__ = ["POI", "generate"]

log = logging.getLogger(__name__)

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

"""What an earlier run has left, as a configuration wants it now.

Luminosity, cross sections, labels, order and fewer processes or channels are applied to what was
saved. Anything else needs the events; it is refused by name before anything is written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import hist

from intccms.errors import InputError
from intccms.histograms import Book, storage
from intccms.histograms.book import NOMINAL
from intccms.histograms.sums import CutflowSums, make_cutflow
from intccms.pipeline.made_with import REMAKE, check_settings, norms
from intccms.pipeline.summary import (
    INFERRED,
    MEASURED,
    RunResult,
    read_summary,
    saved_cutflow,
    saved_ledger,
)
from intccms.schema import Config
from intccms.schema.resolved import as_json
from intccms.storage import Output, write_json

log = logging.getLogger(__name__)

NAME = "made_with.json"  # beside the results of fits


def load_saved(result: RunResult) -> None:
    """Load what an earlier run has left in the output directory, as the configuration wants it now.

    Results of fits are left out where they are those of other histograms.

    Parameters
    ----------
    result
        Says what is wanted and where the run wrote to; gets everything that was saved.

    Raises
    ------
    InputError
        If there is nothing, or it cannot be what the configuration asks for.
    """
    from intccms.pipeline.inference import load_results

    folder = result.output.histograms_dir
    book, made = storage.load_with_origin(folder)
    summary = read_summary(result.output.directory)
    try:
        result.cutflow, result.ledger = saved_cutflow(summary), saved_ledger(summary)
        years = storage.load_years(folder)
        earlier = {name: summary[name] for name in (*MEASURED, "fit", "limits")}
    except (AttributeError, KeyError, TypeError) as error:
        path = result.output.run_summary_json
        raise InputError(f"{path} is not as it was written: {error!r}") from error
    for name in ("lumi_sections", "significance", "code"):  # since 0.2
        earlier[name] = summary.get(name, None if name == "lumi_sections" else {})
    result.earlier = earlier
    result.results = load_results(result.output.statistics_dir)
    if made is None:
        log.warning("%s do not say what they were made with", folder)
        result.take_books(book, years)
        return
    changes = _adapt(result, made, book, years)
    for change in changes:
        log.info("the saved histograms are taken %s", change)
    if (result.results or earlier["fit"]) and not _is_fit_of(result, made, changes):
        log.warning("the saved fit and limits are of other histograms or settings: left out")
        result.results = {}
        result.earlier |= {part: {} for part in INFERRED}


@contextmanager
def fitted(result: RunResult) -> Iterator[None]:
    """Note what the fits were made of, beside their results, whichever of them succeed."""
    path = result.output.statistics_dir / NAME
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        if result.results:
            made = storage.load_with_origin(result.output.histograms_dir)[1]
            write_json(path, {} if made is None else fit_settings(result.config, made))


def _is_fit_of(result: RunResult, made: Mapping[str, Any], changes: list[str]) -> bool:
    path = result.output.statistics_dir / NAME
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of an earlier version
        return not changes
    return bool(saved == json.loads(json.dumps(fit_settings(result.config, made))))


def fit_settings(config: Config, made: Mapping[str, Any]) -> dict[str, Any]:
    """Describe in terms of JSON what decides a fit to the histograms."""
    return {
        "statistics": as_json(config.statistics),
        "fitted": {one.name: one.fit_observable for one in config.active_channels},
        "folded": sorted(map(list, config.folded)),
        "scale": {name: _scale_of(config, made, name) for name in _used(config, made)},
    }


def _adapt(
    result: RunResult, made: Mapping[str, Any], book: Book, years: Mapping[str, Book]
) -> list[str]:
    """Apply to what was saved what can be applied; say in words what changes numbers."""
    config = result.config
    scale, factors = _scales(config, made, book)
    total, by_year = _scaled(made, factors, book, years)
    channels = [one.name for one in config.active_channels]
    flows = {
        name: {
            channel: CutflowSums.from_json(flow)
            for channel, flow in made["cutflow"].get(name, {}).items()
            if channel in channels
        }
        for name in factors
    }
    process_of = {name: made["datasets"][name]["process"] for name in factors}
    result.take_books(
        _chosen(total, config), {year: _chosen(one, config) for year, one in by_year.items()}
    )
    result.cutflow = make_cutflow(flows, scale, process_of)
    return list(_applied(made, factors, config))


def book_for(config: Config) -> Book:
    """Load the histograms that an earlier run has saved, as the configuration wants them now.

    What can be applied to them is: luminosity, cross sections, labels, the choice of processes.

    Raises
    ------
    InputError
        If there are none, or they cannot be what the configuration asks for.
    """
    folder = Output(config.general).histograms_dir
    book, made = storage.load_with_origin(folder)
    if made is None:
        return book
    _, factors = _scales(config, made, book)
    return _chosen(_scaled(made, factors, book, storage.load_years(folder))[0], config)


def _scales(
    config: Config, made: Mapping[str, Any], book: Book
) -> tuple[dict[str, float], dict[str, float]]:
    """By dataset: its scale now, and that over the one of the saved histograms."""
    check_settings(config, made, book)
    scale = {name: _scale_of(config, made, name) for name in _used(config, made)}
    return scale, {name: one / made["datasets"][name]["scale"] for name, one in scale.items()}


def _applied(
    made: Mapping[str, Any], factors: Mapping[str, float], config: Config
) -> Iterator[str]:
    """Say what was applied that changes numbers."""
    scaled = {made["datasets"][name]["process"]: x for name, x in factors.items() if x != 1.0}
    for process, factor in scaled.items():
        yield f"{process} scaled by {factor:.6g}"
    left = {one["process"] for one in made["datasets"].values()} - set(config.processes)
    if left:
        yield f"without {', '.join(sorted(left))}"
    if made["variations"] and not config.general.run_systematics:
        yield "without variations"


def _used(config: Config, made: Mapping[str, Any]) -> list[str]:
    """Name the datasets of this run that are in the saved histograms."""
    return [name for name, one in made["datasets"].items() if one["process"] in config.processes]


def _scale_of(config: Config, made: Mapping[str, Any], dataset: str) -> float:
    before, now = made["datasets"][dataset], norms(config)[dataset]
    return float(before["scale"] * (now["norm"] / before["norm"]))


def _scaled(
    made: Mapping[str, Any],
    factors: Mapping[str, float],
    book: Book,
    years: Mapping[str, Book],
) -> tuple[Book, dict[str, Book]]:
    """Multiply each process by what its datasets change by, year by year where they differ."""
    by_year: dict[str, dict[str | None, float]] = {}
    for name, factor in factors.items():
        about = made["datasets"][name]
        of_process = by_year.setdefault(about["process"], {})
        if of_process.setdefault(about["year"], factor) != factor:
            raise InputError(_uneven(about["process"]))
    whole = {name: set(one.values()) for name, one in by_year.items()}
    even = {name: values.pop() for name, values in whole.items() if len(values) == 1}
    scaled = {
        year: _times(one, {name: found[year] for name, found in by_year.items() if year in found})
        for year, one in years.items()
    }
    total = _times(book, even)
    for process in by_year.keys() - even.keys():
        if not by_year[process].keys() <= scaled.keys():
            raise InputError(_uneven(process))
        parts = [one for one in scaled.values() if process in one.varied]
        for key, histogram in total.histograms.items():
            view: Any = histogram.view(flow=True)[:, list(total.varied).index(process), :]
            for column, variation in enumerate(histogram.axes["variation"]):
                slices: list[Any] = [
                    one.slice(*key, process, variation).view(flow=True) for one in parts
                ]
                for name in ("value", "variance"):
                    view[name][:, column] = sum(one[name] for one in slices)
    return total, scaled


def _uneven(process: str) -> str:
    return f"datasets of process {process!r} would change by different factors; {REMAKE}"


def _times(book: Book, factors: Mapping[str, float]) -> Book:
    """Multiply processes by factors."""
    histograms = {}
    for key, histogram in book.histograms.items():
        histograms[key] = scaled = histogram.copy()
        view: Any = scaled.view(flow=True)
        for row, process in enumerate(book.varied):
            view["value"][:, row, :] *= factors.get(process, 1.0)
            view["variance"][:, row, :] *= factors.get(process, 1.0) ** 2
    return replace(book, histograms=histograms)


def _chosen(book: Book, config: Config) -> Book:
    """Keep what the configuration still has, in its order and with its labels."""
    varied = {
        name: book.varied[name] if config.general.run_systematics else ()
        for name in config.processes
        if name in book.varied
    }
    axis = list(dict.fromkeys(label for labels in varied.values() for label in labels))
    histograms = {}
    for channel in config.active_channels:
        for observable in channel.observables:
            old = book.histograms.get((channel.name, observable.name))
            if old is None:
                continue
            edges = old.axes[0].edges
            new = hist.Hist(
                hist.axis.Variable(edges, name=observable.name, label=observable.label),
                hist.axis.StrCategory(list(varied), name="process", overflow=False),
                hist.axis.StrCategory([NOMINAL, *axis], name="variation", overflow=False),
                storage=hist.storage.Weight(),
            )
            rows = [old.axes["process"].index(name) for name in varied]
            columns = [old.axes["variation"].index(name) for name in (NOMINAL, *axis)]
            view: Any = new.view(flow=True)
            view[...] = old.view(flow=True)[:, rows][:, :, columns]
            histograms[channel.name, observable.name] = new
    data = tuple(name for name in book.data_processes if name in varied)
    channels = {channel.name for channel in config.active_channels}
    shared = {
        name: {pair: n for pair, n in pairs.items() if channels.issuperset(pair)}
        for name, pairs in book.overlaps.items()
        if name in varied
    }
    overlaps = {name: pairs for name, pairs in shared.items() if pairs}
    return replace(
        book, histograms=histograms, varied=varied, data_processes=data, overlaps=overlaps
    )

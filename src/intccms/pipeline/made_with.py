"""What saved histograms were made with, which stands in their file, and what can still be changed.

Luminosity, cross sections, labels, order and fewer processes or channels are applied to what was
saved. Anything else needs the events; it is refused by name before anything is written. Reads the
files that the configuration names only where their size or time has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hist
import numpy as np

from intccms.analysis.runner import AnalysisResult
from intccms.datasets.identity import stamp
from intccms.errors import InputError, nearest
from intccms.fingerprint.digest import fingerprint
from intccms.histograms import Book, storage
from intccms.histograms.book import NOMINAL
from intccms.histograms.cutflow import CutflowSums, make_cutflow
from intccms.pipeline.result import RunResult
from intccms.pipeline.summary import INFERRED, MEASURED, read_summary, saved_cutflow, saved_ledger
from intccms.schema import Config
from intccms.schema.resolved import as_json, leaves
from intccms.storage import write_json

log = logging.getLogger(__name__)

DIGITS = 16  # of a digest
NAME = "made_with.json"  # beside the results of fits

DECIDES = (
    "general.weight_branch", "general.weight_clip", "datasets", "preprocess.skimming.selection",
    "good_object_masks", "baseline_selection", "ghost_observables", "channels", "corrections",
    "systematics", "mva",
)  # fmt: skip
# The last name of settings that are applied to what was saved, or change no histogram.
FREE = re.compile(r"\.(label|cross_sections(\.\d+)?|redirector(\.\d+)?|fit_observable|flow)$")
NAMED = re.compile(r"^(channels\.[^.]+(\.observables\.[^.]+)?|datasets\.datasets\.[^.]+)\.")
SHOWN = 4  # changed settings in a message
LETTERS = 40  # of a value in a message
REMAKE = "run the analysis again (general.run_processor=True, general.run_plots_only=False)"


def made_with(config: Config, analysis: AnalysisResult) -> dict[str, Any]:
    """Describe in terms of JSON what the histograms of an analysis were made with."""
    return {
        "settings": _settings(config),
        "variations": config.general.run_systematics,
        "files": {place: _content(path) for place, path in _files(config)},
        "datasets": {
            name: one | {"scale": analysis.scale[name]}
            for name, one in _norms(config).items()
            if name in analysis.scale
        },
        "cutflow": {
            dataset: {channel: _listed(one.to_arrays()) for channel, one in flow.items()}
            for dataset, flow in analysis.flows.items()
        },
    }


def code_of(config: Config) -> dict[str, str]:
    """Digest every function of a configuration by structure, every file it names by content.

    Returns
    -------
    dict
        Place to hexadecimal digits. A function has the same in every process, whatever its name,
        its file and the comments in it; one that has no such form is left out.
    """
    found: dict[str, str] = {}
    for place, value in leaves(config):
        if callable(value):
            digest = fingerprint(value)
            if not digest.unstable:
                found[place] = digest.digest[:DIGITS]
        elif isinstance(value, str) and (place.endswith(".file") or ".static_kwargs." in place):
            path = config.general.input_path(value)
            if path.is_file():
                found[place] = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
    return found


def fit_settings(config: Config, made: Mapping[str, Any]) -> dict[str, Any]:
    """Describe in terms of JSON what decides a fit to the histograms."""
    return {
        "statistics": as_json(config.statistics),
        "fitted": {one.name: one.fit_observable for one in config.active_channels},
        "folded": sorted(map(list, config.folded)),
        "scale": {name: _scale_of(config, made, name) for name in _used(config, made)},
    }


def _settings(config: Config) -> dict[str, str]:
    """Give each setting that decides the histograms as text, by its place."""
    found: dict[str, str] = {}
    for place, value in leaves(config):
        decides = any(place == one or place.startswith(f"{one}.") for one in DECIDES)
        if not decides or FREE.search(place):
            continue
        if callable(value):
            digest = fingerprint(value)
            found[place] = "" if digest.unstable else f"function {digest.digest[:DIGITS]}"
        else:
            found[place] = json.dumps(as_json(value), sort_keys=True)
    for part in ("corrections", "systematics"):
        for year, entries in getattr(config, part).items():
            order = [entry.name for entry in entries]
            found[f"{part}.{year or ''}".rstrip(".")] = json.dumps(order)
    return found


def _files(config: Config) -> Iterator[tuple[str, Path]]:
    """Give files and directories of inputs that the configuration names, by the place there."""
    for place, value in leaves(config):
        decides = any(place.startswith(f"{one}.") for one in DECIDES)
        is_file = place.endswith(".file") or ".static_kwargs." in place
        if decides and isinstance(value, str) and (is_file or ".directories" in place):
            path = config.general.input_path(value)
            if path.exists():
                yield place, path


def _content(path: Path) -> dict[str, Any]:
    """Say what a file or a directory of inputs holds."""
    if path.is_dir():
        sizes = sorted((one.name, one.stat().st_size) for one in path.iterdir() if one.is_file())
        return {"names": hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:DIGITS]}
    now = stamp(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
    return {"size_bytes": now.size_bytes, "modified": now.modified, "sha256": digest}


def _has_changed(path: Path, before: Mapping[str, Any]) -> bool:
    if "names" in before or path.is_dir():
        return not path.is_dir() or _content(path) != before
    now = stamp(str(path))
    if (now.size_bytes, now.modified) == (before["size_bytes"], before["modified"]):
        return False
    return bool(_content(path)["sha256"] != before["sha256"])


def _norms(config: Config) -> dict[str, dict[str, Any]]:
    """Give process and normalisation of each dataset."""
    found: dict[str, dict[str, Any]] = {}
    for entry in config.datasets.datasets:
        parts = zip(entry.keys(), entry.years, entry.cross_sections, strict=True)
        for key, year, xsec_pb in parts:
            about = {"process": entry.name, "year": year, "is_data": entry.is_data}
            norm = 1.0 if entry.is_data else xsec_pb * config.general.lumi_for(year)
            found[key] = about | {"norm": norm}
    return found


def _used(config: Config, made: Mapping[str, Any]) -> list[str]:
    """Name the datasets of this run that are in the saved histograms."""
    return [name for name, one in made["datasets"].items() if one["process"] in config.processes]


def _scale_of(config: Config, made: Mapping[str, Any], dataset: str) -> float:
    before, now = made["datasets"][dataset], _norms(config)[dataset]
    return float(before["scale"] * (now["norm"] / before["norm"]))


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


def _adapt(
    result: RunResult, made: Mapping[str, Any], book: Book, years: Mapping[str, Book]
) -> list[str]:
    """Apply to what was saved what can be applied; say in words what changes numbers."""
    config = result.config
    _check(config, made, book)
    scale = {name: _scale_of(config, made, name) for name in _used(config, made)}
    factors = {name: one / made["datasets"][name]["scale"] for name, one in scale.items()}
    total, by_year = _scaled(made, factors, book, years)
    channels = [one.name for one in config.active_channels]
    flows = {
        name: {
            channel: CutflowSums.from_arrays({key: np.asarray(v) for key, v in flow.items()})
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


def _check(config: Config, made: Mapping[str, Any], book: Book) -> None:
    before, now = made["settings"], _settings(config)
    here = {name for place in now for name in _names(place)}
    changed = [
        _change(place, before.get(place), now.get(place))
        for place in dict.fromkeys((*now, *before))
        if before.get(place) != now.get(place)
        and "" not in (before.get(place), now.get(place))  # of a function without a form
        and (place in now or all(name in here for name in _names(place)))
    ]
    changed += [
        f"{place}: {path} is not what it was"
        for place, path in _files(config)
        if place in made["files"] and _has_changed(path, made["files"][place])
    ]
    if config.general.run_systematics and not made["variations"]:
        log.warning("the saved histograms have no variations: general.run_systematics was False")
    if book.channels:
        wanted = [one.name for one in config.active_channels if one.observables]
        for name in wanted:
            if name not in book.channels:
                changed.append(f"general.channels: {name!r}; {nearest(name, book.channels)}")
    known = {one["process"] for one in made["datasets"].values()}
    for name in config.processes:
        if name not in known and f"datasets.datasets.{name}" in here and name not in book.varied:
            changed.append(f"general.processes: {name!r}; {nearest(name, known)}")
    if changed:
        more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        what = "; ".join(changed[:SHOWN]) + more
        raise InputError(f"saved histograms were made with other settings: {what}; {REMAKE}")


def _names(place: str) -> list[str]:
    """Name the channel, observable and process that a place belongs to."""
    found = NAMED.match(place)
    if found is None:
        return []
    inner = found[1]
    outer = inner.split(".observables.")[0]
    return [inner] if inner == outer else [outer, inner]


def _change(place: str, before: str | None, now: str | None) -> str:
    if before is None:
        return f"{place} is new"
    if now is None:
        return f"{place} is gone"
    if "function " in (before[:9], now[:9]):
        return f"{place} is another function"
    return f"{place}: {_short(before)} -> {_short(now)}"


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"


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


def _listed(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: array.tolist() for name, array in arrays.items()}

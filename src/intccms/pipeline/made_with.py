"""What saved histograms were made with, which stands in their file, and whether it still holds.

Reads the files that the configuration names only where their size or time has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from intccms.analysis.runner import AnalysisResult
from intccms.datasets.files import stamp
from intccms.errors import InputError, nearest
from intccms.fingerprint.digest import fingerprint
from intccms.histograms import Book
from intccms.schema import Config
from intccms.schema.resolved import as_json, leaves

log = logging.getLogger(__name__)

DIGITS = 16  # of a digest

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
            for name, one in norms(config).items()
            if name in analysis.scale
        },
        "cutflow": {
            dataset: {channel: one.to_json() for channel, one in flow.items()}
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


def norms(config: Config) -> dict[str, dict[str, Any]]:
    """Give process and normalisation of each dataset."""
    found: dict[str, dict[str, Any]] = {}
    for entry in config.datasets.datasets:
        parts = zip(entry.keys(), entry.years, entry.cross_sections, strict=True)
        for key, year, xsec_pb in parts:
            about = {"process": entry.name, "year": year, "is_data": entry.is_data}
            norm = 1.0 if entry.is_data else xsec_pb * config.general.lumi_for(year)
            found[key] = about | {"norm": norm}
    return found


def check_settings(config: Config, made: Mapping[str, Any], book: Book) -> None:
    """Refuse saved histograms that cannot be what a configuration asks for.

    Parameters
    ----------
    config
        As it is now.
    made
        What `made_with` said when they were saved.
    book
        What was saved.

    Raises
    ------
    InputError
        It names the settings.
    """
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

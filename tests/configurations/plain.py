"""A configuration once more as a plain loop: one event and one variation at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import uproot

Event = dict[str, Any]
Row = dict[str, Any]
Fill = tuple[str, str, float, float]  # channel, observable, value, weight
Loop = Callable[[Event, str, str], Iterable[Fill]]
Templates = dict[tuple[str, str, str, str], np.ndarray]


def f32(value: float) -> float:
    """What is left of a number in a column of float32."""
    return float(np.float32(value))


def rows(event: Event, collection: str) -> list[Row]:
    """The objects of a collection, one dict each."""
    prefix = f"{collection}_"
    columns = {name.removeprefix(prefix): event[name] for name in event if name.startswith(prefix)}
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def record(event: Event, collection: str) -> Row:
    """The one object of a collection such as a MET."""
    prefix = f"{collection}_"
    return {name.removeprefix(prefix): event[name] for name in event if name.startswith(prefix)}


def scaled(objects: list[Row], met: Row | None, factors: Iterable[float]) -> None:
    """Multiply momenta in place; what they change is taken from `met`."""
    px = py = 0.0
    for one, factor in zip(objects, factors, strict=True):
        new = f32(one["pt"] * factor)
        px += (new - one["pt"]) * math.cos(one["phi"])
        py += (new - one["pt"]) * math.sin(one["phi"])
        one["pt"] = new
    if met is not None and (px or py):
        x = met["pt"] * math.cos(met["phi"]) - px
        y = met["pt"] * math.sin(met["phi"]) - py
        met["pt"], met["phi"] = f32(math.hypot(x, y)), f32(math.atan2(y, x))


def pair_mass(one: Row, two: Row) -> float:
    """Invariant mass of two massless objects."""
    angle = math.cosh(one["eta"] - two["eta"]) - math.cos(one["phi"] - two["phi"])
    return math.sqrt(2.0 * one["pt"] * two["pt"] * angle)


def evaluators(path: Path) -> Any:
    """The corrections of a file, evaluated directly."""
    return correctionlib.CorrectionSet.from_file(str(path))


def read(path: Path, columns: str | None = None) -> list[Event]:
    """All events of a file, as uproot alone reads them."""
    with uproot.open(path) as file:
        return ak.to_list(file["Events"].arrays(filter_name=columns))


def sumw_of(events: list[Event], files: list[Path]) -> float:
    """Sum of the weights of all events, or what the files say of events that are not in them."""
    found, before = math.fsum(event["genWeight"] for event in events), 0.0
    for path in files:
        with uproot.open(path) as file:
            for name in {"genEventSumw", "genEventSumw_"} & set(file.get("Runs", {}).keys()):
                before += float(np.sum(file["Runs"][name].array(library="np")))
    return before if before and abs(found / before - 1) > 1e-4 else found


def templates(
    datasets: Mapping[str, tuple[str, float | None, list[Path]]],
    edges: Mapping[tuple[str, str], Any],
    labels: Mapping[str, Iterable[str]],
    loop: Loop,
    columns: str | None = None,
) -> Templates:
    """Fill what `loop` yields.

    Parameters
    ----------
    datasets
        By dataset: process, luminosity · cross section (None for data), files.
    edges
        By channel and observable.
    labels
        By dataset, the variations that it has; the nominal stands in for others.
    columns
        What the loop reads; None: everything.
    """
    found: Templates = {}
    every = list(dict.fromkeys(label for names in labels.values() for label in names))
    for dataset, (process, norm, files) in datasets.items():
        events = [event for path in files for event in read(path, columns)]
        sumw = 1.0 if norm is None else sumw_of(events, files)
        for label in ("nominal",) if norm is None else ("nominal", *every):
            known = label if label in labels.get(dataset, ()) else "nominal"
            filled: dict[tuple[str, str], list[tuple[float, float]]] = {}
            for event in events:
                for channel, observable, value, weight in loop(dict(event), known, dataset):
                    filled.setdefault((channel, observable), []).append((value, weight))
            for (channel, observable), bins in edges.items():
                values = np.array(filled.get((channel, observable), [])).reshape(-1, 2)
                where = np.searchsorted(bins, values[:, 0], side="right")
                counts = np.bincount(where, weights=values[:, 1], minlength=len(bins) + 1)
                key = (channel, observable, process, label)
                found[key] = found.get(key, 0.0) + counts * (1.0 if norm is None else norm / sumw)
    return found


def distance(one: Row, two: Row) -> float:
    """Distance in pseudorapidity and azimuth."""
    phi = (one["phi"] - two["phi"] + math.pi) % (2 * math.pi) - math.pi
    return math.hypot(one["eta"] - two["eta"], phi)

"""Small configurations for one behaviour at a time, and the sums that one chunk gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet
import uproot

from intccms.engine.processor import AnalysisProcessor, DatasetTask
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import FunctionSpec, load_config
from tests.engine.reference import load

__all__ = ["channel", "config", "function", "load", "observable", "outcome", "run", "templates"]

WIDE = [-1e30, 0.0, 50.0, 100.0, 200.0, 1e30]
Template = dict[str, np.ndarray]


def function(call: Callable[..., Any], *use: Any, **more: Any) -> dict[str, Any]:
    return {"function": call, "use": list(use), **more}


def observable(name: str, call: Callable[..., Any], *use: Any, edges: Any = None) -> dict[str, Any]:
    return {"name": name, "binning": edges or WIDE, **function(call, *use)}


def channel(
    name: str, observables: Sequence[dict[str, Any]], selection: dict[str, Any] | None = None
) -> dict[str, Any]:
    first = observables[0]["name"]
    return {
        "name": name,
        "observables": list(observables),
        "fit_observable": first,
        "selection": selection,
    }


def config(**parts: Any) -> dict[str, Any]:
    """Return a configuration with one process; `general` and whole blocks can be given."""
    one = [channel("all", [observable("met", lambda pt: pt, ("PuppiMET", "pt"))])]
    general = {"lumi": 1.0, "weight_branch": "genWeight", **parts.pop("general", {})}
    dataset = {"name": "mc", "directories": "mc/", "cross_sections": 1.0}
    return {
        "general": general,
        "preprocess": {"skimming": {"chunk_size": 1000}},
        "datasets": {"datasets": [dataset]},
        "channels": one,
        **parts,
    }


def processor(configuration: dict[str, Any], **task: Any) -> AnalysisProcessor:
    loaded = load_config(configuration)
    about = {"process": "mc", "year": None, "is_data": False, "weight_branch": "genWeight"}
    mask = task.pop("lumi_mask", None)
    lumi_mask = None if mask is None else FunctionSpec(**mask)
    return AnalysisProcessor(
        loaded, {"mc": DatasetTask("mc", **{**about, **task}, lumi_mask=lumi_mask)}
    )


def chunk(path: Path, start: int = 0, stop: int | None = None, tree: str = "Events") -> Any:
    source = open_source(str(path), tree)
    if stop is None and path.suffix == ".parquet":
        stop = pyarrow.parquet.read_metadata(path).num_rows
    elif stop is None:
        with uproot.open({str(path): tree}) as events:
            stop = int(events.num_entries)
    metadata = {"dataset": "mc", "fileuuid": source.uuid, "entrystart": start}
    return source.events(start, stop, ReadMeter(), metadata)


def run(path: Path, configuration: dict[str, Any], **task: Any) -> dict[str, Any]:
    """Process one file as one chunk."""
    return processor(configuration, **task).process(chunk(path))


def templates(sums: dict[str, Any], name: str = "all", quantity: str = "met") -> Template:
    """Bin sums of each variation of one histogram, flow bins included, not normalised."""
    rounded = sums["histograms"][name, quantity].rounded()
    return {label: sumw for label, (sumw, _) in rounded.items()}


def outcome(path: Path, configuration: dict[str, Any], **task: Any) -> Template:
    """Give the templates of the first histogram."""
    sums = run(path, configuration, **task)
    return templates(sums, *next(iter(sums["histograms"])))


def filled(values: Any, weights: Any, edges: Sequence[float] = WIDE) -> np.ndarray:
    """Fill a histogram in the plainest way, flow bins included."""
    bins = np.searchsorted(edges, np.asarray(values, dtype=np.float64), side="right")
    return np.bincount(bins, weights=np.asarray(weights, "f8"), minlength=len(edges) + 1)


def same(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-7)


def flat(array: Any) -> np.ndarray:
    return np.asarray(ak.flatten(array, axis=None), dtype=np.float64)

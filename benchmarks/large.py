"""What is large: a file of 5 M events, and 50 datasets with 300 variations each.

``python -m benchmarks.large WHAT write FOLDER`` makes the input, ``run`` in its place runs on it,
each in a process of its own: the memory of client and workers is measured, the numbers are
compared with plain NumPy.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.pipeline import Stages
from intccms.schema import load_config
from tests.faults.analysis import make_config
from tests.faults.inputs import PACKED, events_of, list_files, write_corrections, write_events

__all__ = ["main"]

N_EVENTS, N_BLOCKS = 5_000_000, 20
N_DATASETS, N_SHIFTS, N_WEIGHTS, N_SMALL = 50, 100, 50, 1000
LUMI_IPB, XSEC_PB = 1000.0, 5.0
LIMITS_MB = {"client": 1000.0, "worker": 1500.0}
CLOSE = 1e-9  # relative


def _pileup(n_true: Any) -> Any:
    return np.asarray([0.9, 1.0, 1.2])[np.digitize(n_true, [20.0, 40.0])]


def _write(path: Path) -> dict[str, float]:
    """Write the large file; give what is to come out."""
    sums = {"selected": 0.0, "yield": 0.0, "sumw": 0.0}
    with uproot.recreate(path, compression=PACKED) as file:
        for block in range(N_BLOCKS):
            events = events_of(block, N_EVENTS // N_BLOCKS)
            if not block:
                types = {name: ak.type(array).content for name, array in events.items()}
                file.mktree("Events", types)
            file["Events"].extend(events)
            weight = np.asarray(events["genWeight"], dtype=np.float64)
            is_kept = np.asarray(events["MET_pt"]) > 20
            weighted = weight * _pileup(np.asarray(events["Pileup_nTrueInt"]))
            sums["selected"] += float(is_kept.sum())
            sums["yield"] += float(weighted[is_kept].sum())
            sums["sumw"] += float(weight.sum())
    return sums


def _by_default(**general: Any) -> dict[str, Any]:
    """Give the small analysis with the sizes that the kit chooses itself, on its own workers."""
    table = make_config(executor="dask", **general)
    del table["preprocess"]["skimming"]["chunk_size"]
    return table


def _write_large(folder: Path) -> dict[str, Any]:
    path = folder / "large.root"
    expected = _write(path)
    base = list_files(folder / "base", [path])
    return expected | {"base": str(base), "mb": path.stat().st_size / 1e6}


def _run_large(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run nominally, with the settings that one begins with."""
    places = {"base_dir": asked["base"], "output_dir": str(folder / "out")}
    result = runner.run(load_config(_by_default(run_systematics=False, **places)))
    [histogram] = [one for (_, name), one in result.histograms.histograms.items() if name == "met"]
    found = float(histogram.values(flow=True).sum())
    expected = asked["yield"] * XSEC_PB * LUMI_IPB / asked["sumw"]
    sizes = [report.n_events for report in result.reports]
    return {
        "file": f"{asked['mb']:.0f} MB, {N_EVENTS:,} events",
        "chunks": f"{len(sizes)} of {min(sizes):,} to {max(sizes):,} events",
        "every event once": _is_whole(result, N_EVENTS),
        "right count": sum(one.n_kept for one in result.reports) == asked["selected"],
        "right yield": bool(abs(found / expected - 1) < CLOSE),
    }


def _is_whole(result: AnalysisResult, n_events: int) -> bool:
    """Whether the chunks are the file, without gap or overlap."""
    spans = sorted((one.file, one.entry_start, one.entry_stop) for one in result.reports)
    gaps = [two[1] - one[2] for one, two in zip(spans, spans[1:], strict=False) if two[0] == one[0]]
    return result.ledger.is_complete and result.ledger.n_processed == n_events and not any(gaps)


def _scaled(pt: Any, factor: float) -> Any:
    return pt * 0 + factor


def _constant(value: float) -> float:
    return value


def _sources() -> list[dict[str, Any]]:
    """Make 100 shifts of jets and 50 weights, each up and down."""

    def source(name: str, make: Callable[[float], Any], size: float) -> dict[str, Any]:
        return {"name": name, "up_function": make(1 + size), "down_function": make(1 - size)}

    shifts = [
        source(f"shift{i}", lambda f: partial(_scaled, factor=f), 0.001 * (i + 1))
        for i in range(N_SHIFTS)
    ]
    weights = [
        source(f"weight{i}", lambda v: partial(_constant, value=v), 0.001 * (i + 1))
        for i in range(N_WEIGHTS)
    ]
    shift = {"name": "shifts", "type": "object", "target": ("Jet", "pt"), "args": [("Jet", "pt")]}
    weight = {"name": "weights", "type": "event", "args": []}
    return [
        {**shift, "use_correctionlib": False, "op": "mult", "uncertainty_sources": shifts},
        {**weight, "use_correctionlib": False, "op": "mult", "uncertainty_sources": weights},
    ]


def _write_many(folder: Path) -> dict[str, Any]:
    for number in range(N_DATASETS):
        (folder / f"p{number}").mkdir()
        write_events(folder / f"p{number}" / "0.root", events_of(number, N_SMALL))
        (folder / f"p{number}" / "files.txt").write_text(f"{folder}/p{number}/0.root\n")
    write_corrections(folder / "corrections.json")
    return {}


def _run_many(_: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Process all datasets and write what a run writes."""
    table = _by_default(base_dir=str(folder), output_dir=str(folder / "out"))
    [one] = table["datasets"]["datasets"]
    table["datasets"]["datasets"] = [
        {**one, "name": f"p{n}", "directories": f"p{n}/"} for n in range(N_DATASETS)
    ]
    table["corrections"][0]["uncertainty_sources"] = []
    table["systematics"] = _sources()
    with Stages(load_config(table)) as stages:
        stages.count_files()
        stages.process()
        book, ledger = stages.result.book, stages.result.ledger
        stages.finish()
    histogram = book.histogram("all", "ht")
    sums = histogram.values(flow=True).sum(axis=0)
    labels = list(histogram.axes["variation"])
    nominal = sums[:, labels.index("nominal")]
    wrong = [
        label
        for label in labels
        if np.abs(sums[:, labels.index(label)] / nominal / _expected(label) - 1).max() > CLOSE
    ]
    size_mb = {
        name: sum(one.stat().st_size for one in (folder / "out").rglob(pattern)) / 1e6
        for name, pattern in (("results", "histograms/*"), ("kept chunks", "*.partial"))
    }
    return {
        "templates": f"{sums.shape[0]} processes x {len(labels)} variations x 2 observables",
        "every event once": ledger.is_complete and ledger.n_processed == N_DATASETS * N_SMALL,
        "variations with wrong sums": len(wrong),
        "sums right": not wrong and len(labels) == 1 + 2 * (N_SHIFTS + N_WEIGHTS),
        **{f"{name}, MB": round(value, 1) for name, value in size_mb.items()},
    }


def _expected(label: str) -> float:
    """Say by what the sum of a template differs from the nominal one: shifts move no event out."""
    name, _, side = label.rpartition("_")
    if not name.startswith("weight"):
        return 1.0
    size = 0.001 * (int(name.removeprefix("weight")) + 1)
    return 1 + size if side == "up" else 1 - size


RUNS = {"file": (_write_large, _run_large), "variations": (_write_many, _run_many)}


def main() -> None:
    """Write the input with ``write``, else run on it; the outcome is in ``outcome.json``."""
    what, step, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    write, run = RUNS[what]
    if step == "write":
        (folder / "input.json").write_text(json.dumps(write(folder)))
        return
    begin = time.monotonic()
    outcome = run(json.loads((folder / "input.json").read_text()), folder)
    used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # the workers have ended by now
    peaks = [resource.getrusage(who).ru_maxrss * 1024 / 1e6 for who in used]
    seconds = time.monotonic() - begin
    memory = dict(zip(("client", "worker"), peaks, strict=True))
    is_bounded = all(memory[name] <= limit for name, limit in LIMITS_MB.items())
    outcome |= {f"{name}, MB at most": round(mb) for name, mb in memory.items()}
    outcome |= {"seconds": round(seconds, 1), "memory bounded": is_bounded}
    (folder / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()

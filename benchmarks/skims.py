"""Skims: speed, size and memory of each format: ``python -m benchmarks.skims``.

Writing is compared with uproot's bare read and write of the same columns and events, reading with
the analysis of the originals. Each number is from a process of its own; CPU seconds and wall
seconds are without imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import awkward as ak
import numpy as np
import uproot

from benchmarks.data import SETS, ensure, files_of
from benchmarks.setup import BRANCHES, make_config

__all__ = ["main"]

TOP = Path(__file__).parents[1]
FORMATS = ("parquet", "ttree", "rntuple")
IDS = ("run", "luminosityBlock", "event")
LEVELS = {"parquet": None, "ttree": 5, "rntuple": 5}  # of zstd, as the kit's defaults
TARGET = 0.8  # of uproot's own speed

Asked = dict[str, Any]


def _tables() -> dict[str, tuple[str, ...]]:
    """Give the columns of the benchmark by collection, as a configuration names them."""
    tables: dict[str, list[str]] = {}
    for branch in BRANCHES:
        collection, _, name = branch.partition("_")
        where, field = (collection, name) if name else ("event", branch)
        tables.setdefault(where, []).append(field)
    return {collection: tuple(names) for collection, names in tables.items()}


def _chunks(asked: Asked) -> Iterator[tuple[str, int, int, int]]:
    """Give file, number and entries of each chunk of the set."""
    chosen = SETS[asked["set"]]
    for names in files_of(Path(asked["data"]), chosen).values():
        for name in names[:1]:
            starts = range(0, chosen.events, chosen.chunk_size)
            for n, start in enumerate(starts[: asked["n_chunks"]]):
                yield name, n, start, min(start + chosen.chunk_size, chosen.events)


def _selected(met: Any, cut: float) -> Any:
    return np.flatnonzero(np.asarray(met) > cut)


def _write_bare(asked: Asked, out: Path) -> Asked:
    """Read with uproot alone, and write with it (parquet: awkward)."""
    columns = [*IDS, *BRANCHES, "Muon_charge"]
    read_events = kept = n_files = 0
    for name, _, start, stop in _chunks(asked):
        with uproot.open({name: None}, handler=uproot.MemmapSource) as file:
            tree = file["Events"]
            arrays = {
                one: tree[one].array(entry_start=start, entry_stop=stop, array_cache=None)
                for one in columns
            }
        index = _selected(arrays["PuppiMET_pt"], asked["cut"])
        arrays = {one: ak.to_packed(array[index]) for one, array in arrays.items()}
        _write_arrays(asked["format"], arrays, out / f"bare_{n_files}")
        read_events, kept, n_files = read_events + stop - start, kept + len(index), n_files + 1
    return {"n_events": read_events, "n_kept": kept}


def _write_arrays(kind: str, arrays: dict[str, ak.Array], path: Path) -> None:
    counters = {f"n{one.split('_')[0]}": array for one, array in arrays.items() if array.ndim > 1}
    if kind == "parquet":
        counts = {one: ak.num(array) for one, array in counters.items()}
        ak.to_parquet(ak.zip(arrays | counts, depth_limit=1), path, extensionarray=False)
        return
    with uproot.recreate(path, compression=uproot.ZSTD(LEVELS[kind])) as file:
        if kind == "ttree":
            types = {one: array.type.content for one, array in arrays.items()}
            counter = "n{}".format
            file.mktree(
                "Events", types, counter_name=lambda one: counter(one.split("_")[0])
            ).extend(arrays)
        else:
            counts = {one: ak.num(array) for one, array in counters.items()}
            file.mkrntuple("Events", arrays | counts)


def _write_kit(asked: Asked, out: Path) -> Asked:
    """Do the same through the kit: columns by name, record, check, atomic."""
    from intccms.reading.columns import ReadMeter
    from intccms.reading.source import open_source
    from intccms.schema import SkimOutput
    from intccms.skimming import SkimColumns, SkimPart, SkimStore

    store = SkimStore(SkimOutput(format=asked["format"]), out, verify=asked["verify"])
    columns = SkimColumns(_tables(), weight_branch="genWeight")
    read_events = kept = 0
    for name, n, start, stop in _chunks(asked):
        source = open_source(name, "Events")
        events = source.events(start, stop, ReadMeter(), {"dataset": "bench"})
        part = SkimPart(
            dataset=Path(name).stem,
            source=name,
            uuid=source.uuid,
            file_index=0,
            n_listed=1,
            chunk=n,
            entry_start=start,
            entry_stop=stop,
            n_in=stop - start,
            sumw={},
            fingerprint="bench",
        )
        index = _selected(events.PuppiMET.pt, asked["cut"])
        written = store.write(events.narrowed(index), columns, part)
        read_events, kept = read_events + stop - start, kept + written.n_out
    return {"n_events": read_events, "n_kept": kept}


def _analyse(asked: Asked, out: Path) -> Asked:
    """Run the analysis, on the originals, on skims, or to make them."""
    from benchmarks.kit import histograms_of, run

    chosen = SETS[asked["set"]]
    table = make_config(Path(asked["data"]) / chosen.folder)
    table["datasets"]["max_files"] = 1
    table["preprocess"]["branches"] = _tables()
    settings = {
        "general.executor": "iterative",
        "general.output_dir": str(out / "out"),
        "general.chunk_size": chosen.chunk_size,
        "general.processes": list(chosen.processes),
        "general.read_from_cache": False,
        "general.skimmed_dir": asked["skims"],
        "general.run_skimming": asked["kind"] == "make",
        "general.use_skimmed_input": asked["kind"] == "read",
        "preprocess.skimming.output.format": asked["format"],
    }
    begin = time.perf_counter()
    n_events, result = run(table, settings)
    wall_s = time.perf_counter() - begin
    sums = {
        "/".join(key): values.tolist() for key, values in histograms_of(result.histograms).items()
    }
    return {"n_events": n_events, "run_s": wall_s, "histograms": sums}


WORK: dict[str, Callable[[Asked, Path], Asked]] = {
    "bare": _write_bare,
    "kit": _write_kit,
    "originals": _analyse,
    "make": _analyse,
    "read": _analyse,
}


def _once(asked: Asked) -> Asked:
    """Do one thing in this process and say what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        work = WORK[asked["kind"]]
        warm, out = Path(folder) / "warm", Path(folder) / "out"
        warm.mkdir()
        out.mkdir()
        work({**asked, "n_chunks": 1}, warm)  # imports, compiled code, page cache
        cpu, wall = time.process_time(), time.perf_counter()
        answer = work(asked, out)
        cost = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        files = [path for path in out.rglob("*") if path.is_file()]
        cost["size_bytes"] = sum(path.stat().st_size for path in files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**answer, **cost, "peak_rss_bytes": peak}


def _child(asked: Asked) -> Asked:
    environment = {**os.environ, "PYTHONPATH": f"{TOP}/src:{TOP}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.skims", "--one", json.dumps(asked)]
    done = subprocess.run(
        command, cwd=TOP, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{asked['kind']} {asked['format']} failed:\n{done.stderr[-4000:]}")
    answer: Asked = json.loads(done.stdout.splitlines()[-1])
    return answer


def _writing(common: Asked, formats: list[str], repeats: int) -> None:
    say(
        f"{'writing':10}{'kit s':>8}{'bare s':>8}{'bare/kit':>10}{'B/event':>9}{'MB, 1 chunk':>13}"
        f"{'MB, all':>9}"
    )
    for kind in formats:
        asked = {**common, "format": kind}
        pairs = []
        for n in range(repeats):
            order = ("bare", "kit") if n % 2 == 0 else ("kit", "bare")
            pairs.append({one: _child({**asked, "kind": one}) for one in order})
        kit = median(pair["kit"]["cpu_s"] for pair in pairs)
        bare = median(pair["bare"]["cpu_s"] for pair in pairs)
        last = pairs[-1]["kit"]
        one_chunk = _child({**asked, "kind": "kit", "n_chunks": 1})["peak_rss_bytes"]
        mark = "" if bare / kit >= TARGET else "  below the target"
        say(
            f"{kind:10}{kit:8.2f}{bare:8.2f}{bare / kit:10.2f}"
            f"{last['size_bytes'] / last['n_kept']:9.0f}{one_chunk / 1e6:13.0f}"
            f"{last['peak_rss_bytes'] / 1e6:9.0f}{mark}"
        )


def _reading(common: Asked, formats: list[str], repeats: int) -> None:
    say(f"\n{'analysis of':12}{'wall s':>8}{'of originals':>14}{'kHz':>8}  histograms")
    with tempfile.TemporaryDirectory() as folder:
        asked = {**common, "format": "parquet", "skims": f"{folder}/none", "kind": "originals"}
        runs = [_child(asked) for _ in range(repeats)]
        originals = median(one["run_s"] for one in runs)
        rate = runs[0]["n_events"] / originals / 1e3
        say(f"{'originals':12}{originals:8.2f}{1:14.2f}{rate:8.0f}")
        for kind in formats:
            asked = {**common, "format": kind, "skims": f"{folder}/{kind}"}
            _child({**asked, "kind": "make"})
            reads = [_child({**asked, "kind": "read"}) for _ in range(repeats)]
            wall = median(one["run_s"] for one in reads)
            same = all(one["histograms"] == runs[0]["histograms"] for one in reads)
            rate, bits = runs[0]["n_events"] / wall / 1e3, "the same bits" if same else "DIFFERENT"
            say(f"{kind:12}{wall:8.2f}{wall / originals:14.2f}{rate:8.0f}  {bits}")


def say(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("outputs/bench/data"))
    parser.add_argument("--set", choices=SETS, default="1m")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cut", type=float, default=50.0, help="GeV of PuppiMET that are kept")
    parser.add_argument("--verify", choices=("count", "full", "off"), default="count")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--only", choices=("writing", "reading"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(json.dumps(_once(json.loads(asked.one))) + "\n")
        return
    data = asked.data.resolve()
    ensure(data, SETS[asked.set])
    say(f"{SETS[asked.set].title}; one file of each process; PuppiMET above {asked.cut:g} GeV")
    common = {"data": str(data), "set": asked.set, "cut": asked.cut, "verify": asked.verify}
    common["n_chunks"] = None
    formats = asked.formats.split(",")
    if asked.only != "reading":
        _writing(common, formats, asked.repeats)
    if asked.only != "writing":
        _reading(common, formats, asked.repeats)


if __name__ == "__main__":
    main()

"""Runs that are killed, starved and lied to, and the figures of what came of them.

``python -m benchmarks.chaos`` from the top of the repository; ``make chaos`` does it all. Its exit
status is 1 if an event was lost that could be read, a bit differs or too much was done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.analysis import N_EVENTS, make_config
from tests.faults.edits import EDITS, Kernels, answers
from tests.faults.edits import EXECUTORS as EDITED_ON
from tests.faults.endings import configured, oom_killer
from tests.faults.inputs import list_files, write_files
from tests.faults.kills import killed_and_resumed
from tests.faults.runs import analysed, bits, finished
from tests.faults.scenario import BROKEN, WAITING, worker_pids
from tests.faults.servers import is_installed

N_FILES = 12
N_WORKERS = 2
EXECUTORS = ("futures", "dask")
N_HUNGRY = 4  # files
EDIT = "edit: "
SCENARIO_S, LARGE_S = 600.0, 900.0


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done, what came of it, and whether that is right."""

    what: str
    executor: str
    figures: dict[str, Any]
    is_right: bool
    seconds: float


Outcome = tuple[dict[str, Any], bool]  # figures, and whether they are right
Round = tuple[str, str, Callable[[], Outcome]]  # what is done, executor


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for one round."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def kill_loop(executor: str, n_kills: int, seed: int) -> Outcome:
    """Kill one run at `n_kills` random points, resume each time, compare with a quiet run."""
    with folder() as work:
        base = list_files(work / "base", write_files(work / "files", N_FILES))
        quiet = analysed(make_config(base_dir=str(base), output_dir=str(work / "quiet")))
        settings = {
            "base_dir": str(base),
            "output_dir": str(work / "output"),
            "executor": executor,
            "n_workers": N_WORKERS,
        }
        loop = killed_and_resumed(settings, work, n_kills=n_kills, n_files=N_FILES, seed=seed)
    redone = [kill.redone for kill in loop.kills]
    is_same = loop.outcome["bits"] == bits(quiet)
    figures = {
        "kills": n_kills,
        "chunks": len(quiet.reports),
        "redone in all": sum(redone),
        "redone after a kill, at most": max(redone),
        "damaged results read": loop.log.count("left out and made again"),
        "lost": len(loop.outcome["ledger"]["lost_chunks"]),
        "same bits": is_same,
    }
    return figures, is_same and max(redone) <= N_WORKERS and not figures["lost"]


def everything(executor: str, seed: int) -> Outcome:
    """Run the scenario of 200 chunks in a process of its own."""
    with folder() as work:
        arguments = ["-m", "tests.faults.scenario", executor, str(work), str(seed)]
        finished(arguments, work / "log", seconds=SCENARIO_S, **WAITING)
        outcome: dict[str, Any] = json.loads((work / "outcome.json").read_text())
    ledger = outcome["ledger"]
    lost = ledger["datasets"]["ttbar"]["lost"]
    named = {chunk["file"] for chunk in ledger["lost_chunks"]}
    is_same = outcome["bits"] == outcome["expected_bits"]
    figures = {
        "chunks": outcome["n_chunks"],
        "workers killed": outcome["n_killed"],
        "opens failed": outcome["n_failed_opens"],
        "retries": ledger["retries"],
        "files lost": f"{lost['files']} of {len(BROKEN)} broken",
        "events lost": f"{lost['events']} of {len(BROKEN) * N_EVENTS}",
        "same bits": is_same,
    }
    exact = named == {f"/store/{number}.root" for number in BROKEN}
    return figures, is_same and exact and lost["events"] == len(BROKEN) * N_EVENTS


def edited(kernels: Kernels, name: str, executor: str) -> Outcome:
    """Edit, and look at the answers in mid-run, afterwards and in a new kernel."""
    with folder() as work:
        found = answers(kernels, name, [executor], work)
    figures = {moment: why or True for (_, moment), why in found.items()}
    return figures, not any(found.values())


def out_of_memory(executor: str, how: str) -> Outcome:
    """Let a chunk of each file need more memory than there is: refused, or its worker ends."""
    with folder() as work:
        base = str(list_files(work / "base", write_files(work / "files", N_HUNGRY)))
        quiet = analysed(configured("", base_dir=base, output_dir=str(work / "quiet")))
        general = {"base_dir": base, "output_dir": str(work / "out"), "n_workers": N_WORKERS}
        with oom_killer(worker_pids) as killed:
            result = analysed(configured(how, executor=executor, **general))
    is_same = bits(result) == bits(quiet)
    figures = {
        "chunks that need too much": N_HUNGRY,
        "chunks done in parts": sum(one.tries > 1 for one in result.reports),
        "workers killed": len(killed),
        "lost": len(result.ledger.lost_chunks),
        "same bits": is_same,
    }
    return figures, is_same and result.ledger.is_complete and bool(killed) == (how == "held")


def large(what: str) -> Outcome:
    """Make something large and run on it, each in a process of its own."""
    with folder() as work:
        for step in ("write", "run"):
            arguments = ["-m", "benchmarks.large", what, step, str(work)]
            finished(arguments, work / "log", seconds=LARGE_S, OPENBLAS_NUM_THREADS="1")
        figures: dict[str, Any] = json.loads((work / "outcome.json").read_text())
    return figures, all(value for value in figures.values() if isinstance(value, bool))


def in_words(row: Row) -> str:
    """List the figures of a row, one a line."""

    def said(value: object) -> object:
        return ("yes" if value else "NO") if isinstance(value, bool) else value

    return "\n".join(f"{name}: {said(value)}" for name, value in row.figures.items())


def shown(rows: list[Row]) -> Table:
    """Lay out the figures."""
    table = Table("what", "executor", "figures", "s", "", show_lines=True)
    for row in rows:
        verdict = "right" if row.is_right else "WRONG"
        table.add_row(row.what, row.executor, in_words(row), f"{row.seconds:.0f}", verdict)
    return table


def matrix(rows: list[Row]) -> Table:
    """Lay out which edits give the bits of a clean run."""
    names = list(dict.fromkeys(row.executor for row in rows))
    table = Table("the same bits as a clean run", *names)
    verdicts = {(row.what, row.executor): "yes" if row.is_right else "NO" for row in rows}
    for what in dict.fromkeys(row.what for row in rows):
        table.add_row(what, *(verdicts.get((what, name), "") for name in names))
    return table


def rounds(asked: argparse.Namespace) -> Iterator[Round]:
    """Give what is asked for, in the order in which it is done."""
    kernels = Kernels()
    for executor in EDITED_ON:
        for name in EDITS:
            yield f"{EDIT}{name}", executor, partial(edited, kernels, name, executor)
    for executor in EXECUTORS:
        yield (
            f"{asked.kills} kill -9",
            executor,
            partial(kill_loop, executor, asked.kills, asked.seed),
        )
        for how, what in (("refused", "memory is refused"), ("held", "killed for its memory")):
            yield what, executor, partial(out_of_memory, executor, how)
        for seed in range(asked.seed, asked.seed + asked.rounds if is_installed() else asked.seed):
            yield f"200 chunks, seed {seed}", executor, partial(everything, executor, seed)
    yield "a file of 5 M events", "dask", partial(large, "file")
    yield "50 datasets, 300 variations", "dask", partial(large, "variations")


def main() -> int:
    """Run all rounds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="points at which a run is killed")
    parser.add_argument("--rounds", type=int, default=3, help="of the scenario, per executor")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--executor", choices=EDITED_ON, help="only this one")
    parser.add_argument("--only", default="", help="what has this text in its name")
    parser.add_argument("--out", type=Path, help="JSON lines, one a round; what is there is done")
    asked = parser.parse_args()
    console = Console()
    rows = read(asked.out)
    done = {(row.what, row.executor) for row in rows}
    for what, executor, call in rounds(asked):
        is_asked = asked.only in what and asked.executor in (None, executor)
        if (what, executor) in done or not is_asked:
            continue
        begin = time.monotonic()
        row = Row(what, executor, *call(), time.monotonic() - begin)
        rows.append(row)
        console.print(
            f"{what} ({executor}): {'right' if row.is_right else 'WRONG'}", highlight=False
        )
        if asked.out:
            with asked.out.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    edits = [row for row in rows if row.what.startswith(EDIT)]
    console.print(matrix(edits))
    console.print(shown([row for row in rows if row not in edits or not row.is_right]))
    return 0 if all(row.is_right for row in rows) else 1


def read(path: Path | None) -> list[Row]:
    """Give the rows of earlier calls."""
    lines = path.read_text().splitlines() if path is not None and path.exists() else []
    return [Row(**json.loads(line)) for line in lines]


if __name__ == "__main__":
    sys.exit(main())

"""``kill -9`` of a whole run at random points, and the runs that take it up again."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.analysis import CHUNK_SIZE, N_EVENTS
from tests.faults.runs import end, finished, started

__all__ = ["Kill", "Loop", "killed_and_resumed"]

PAUSE_S = 0.05  # what a chunk takes at least
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Kill:
    """One run that was killed.

    Parameters
    ----------
    wanted
        Chunks that it should have begun by then; a little later it is killed.
    begun, stored
        Chunks that it began, and those whose result was stored.
    """

    wanted: int
    begun: int
    stored: int

    @property
    def redone(self) -> int:
        """Chunks whose work is lost."""
        return self.begun - self.stored


@dataclass(frozen=True)
class Loop:
    """What all runs of a loop gave.

    Parameters
    ----------
    outcome
        Of the last run, which was left to finish.
    begun
        How often each chunk was begun, by its first event.
    log
        All that the runs have said.
    """

    kills: tuple[Kill, ...]
    outcome: dict[str, Any]
    begun: dict[str, int]
    log: str


def killed_and_resumed(
    settings: dict[str, Any], work: Path, *, n_kills: int, n_files: int, seed: int = 0
) -> Loop:
    """Run the small analysis, kill it at random points, and let it finish in the end.

    Parameters
    ----------
    settings
        Of `make_config`; ``output_dir`` is the same in all runs.
    work
        Folder for marks, logs and the outcome.
    n_kills
        How often it is killed. The points are spread over the whole run.
    n_files
        Of the listing, for the number of chunks.
    """
    rng = random.Random(seed)
    marks, log = work / "marks", work / "log"
    marks.touch()
    n_chunks = n_files * N_EVENTS // CHUNK_SIZE
    points = sorted(rng.sample(range(n_chunks), n_kills))
    arguments = ["-m", "tests.faults.runs", json.dumps(settings), str(work / "outcome.json")]
    env = {"MARKS": str(marks), "PAUSE_S": str(PAUSE_S)}
    kills = []
    for point in points:
        before = n_begun(marks), n_stored(settings)
        run = started(arguments, log, **env)
        wanted = max(point - before[1], 0)
        try:
            until_begun(marks, before[0] + wanted, run, log)
            time.sleep(rng.uniform(0, 2 * PAUSE_S))
        finally:
            end(run)
        kills.append(Kill(wanted, n_begun(marks) - before[0], n_stored(settings) - before[1]))
    finished(arguments, log, seconds=PATIENCE_S, **env)
    begun = Counter(line.split()[0] for line in marks.read_text().splitlines())
    outcome = json.loads((work / "outcome.json").read_text())
    return Loop(tuple(kills), outcome, dict(begun), log.read_text(errors="replace"))


def n_begun(marks: Path) -> int:
    """Count chunks that were begun so far."""
    return marks.read_text().count("\n")


def n_stored(settings: dict[str, Any]) -> int:
    """Count results that are stored."""
    return len(list(Path(settings["output_dir"], "partials").glob("*/*.partial")))


def until_begun(marks: Path, n: int, run: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until so many chunks have been begun; for none, until it is on its way."""
    until = time.monotonic() + PATIENCE_S
    while n_begun(marks) < n and run.poll() is None:
        if time.monotonic() > until:
            raise RuntimeError(f"stuck at {n_begun(marks)} of {n}:\n{log.read_text()[-4000:]}")
        time.sleep(0.005)

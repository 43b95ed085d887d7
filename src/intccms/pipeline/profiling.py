"""Where the time of a run goes: pyinstrument's samples of this process, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intccms.errors import InputError
from intccms.storage import write_text

# A profile sees one process only, and a chunk that is resumed does no work.
ONE_PROCESS = (
    "general.executor=iterative",
    "general.facility=null",
    "general.read_from_cache=False",
)

INTERVAL_S = 0.002

# A sample belongs to the first stage that has a part of a file's path and a function of it on the
# stack; "" is any function.
STAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("decompress", "uproot/compression.py", ("",)),
    ("open", "intccms/reading/", ("open_source",)),
    ("read", "intccms/reading/", ("",)),
    ("checkpoints", "intccms/execution/checkpoints.py", ("",)),
    ("fill", "intccms/histograms/", ("filled", "of", "_filled")),
    ("observable", "intccms/engine/", ("observable_values", "with_derived")),
    ("batch", "intccms/engine/systematics.py", ("",)),
    ("weights", "intccms/engine/weights.py", ("",)),
    ("mask", "intccms/engine/", ("apply_masks", "masked", "select", "skim", "channel_rows")),
    ("other work on chunks", "intccms/execution/chunk.py", ("",)),
    ("count and check files", "intccms/pipeline/stages.py", ("count_files",)),
    ("report of the run", "intccms/pipeline/records.py", ("",)),
    ("merge and ledger", "intccms/pipeline/stages.py", ("process",)),
    ("statistics", "intccms/pipeline/stages.py", ("infer",)),
    ("figures", "intccms/pipeline/stages.py", ("draw",)),
)
REST = "rest"


def stage_of(stack: Sequence[str]) -> str:
    """Name the stage of a sample.

    Parameters
    ----------
    stack
        Identifiers of pyinstrument's frames: function, file and line, with NUL between them.
    """
    frames = [frame.replace("\\", "/").split("\0")[:2] for frame in stack]
    for stage, path, functions in STAGES:
        for name, *file in frames:
            if file and path in file[0] and ("" in functions or name in functions):
                return stage
    return REST


def shares(records: Sequence[tuple[Sequence[str], float]]) -> dict[str, float]:
    """Add up the seconds of samples by stage, in the order of `STAGES`."""
    found = dict.fromkeys([*(stage for stage, *_ in STAGES), REST], 0.0)
    for stack, seconds in records:
        found[stage_of(stack)] += seconds
    return found


@contextmanager
def profiled(directory: Path) -> Iterator[None]:
    """Profile what this process does, and write ``profile.html`` and ``profile.txt``.

    Parameters
    ----------
    directory
        Of the measurement; made when there is something to write.

    Raises
    ------
    InputError
        If pyinstrument is not installed.
    """
    profiler = _profiler()
    profiler.start()
    try:
        yield
    finally:
        session = profiler.stop()
        text = _table(shares(session.frame_records))
        write_text(directory / "profile.txt", text + "\n" + profiler.output_text(unicode=True))
        write_text(directory / "profile.html", profiler.output_html())


def _profiler() -> Any:
    try:
        from pyinstrument import Profiler
    except ModuleNotFoundError as exc:
        raise InputError("--profile needs pyinstrument: pip install 'intccms[profile]'") from exc
    return Profiler(interval=INTERVAL_S, async_mode="disabled")


def _table(seconds: dict[str, float]) -> str:
    total = sum(seconds.values()) or 1.0
    lines = [
        f"{stage:24}{spent:10.2f} s{100 * spent / total:7.1f} %"
        for stage, spent in seconds.items()
        if spent
    ]
    about = "Samples of the wall-clock time of one process; all chunks ran in it."
    return "\n".join([about, "", *lines, f"{'sum':24}{total:10.2f} s", ""])

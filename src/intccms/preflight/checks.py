"""All checks of a preflight, in their order: of this machine, of files, servers and workers."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import psutil

from intccms import facility
from intccms.datasets import DatasetManager, Fileset
from intccms.datasets.contents import FileFailure, FileQuery, count
from intccms.datasets.files import refusal
from intccms.engine.variations import plan_variations
from intccms.errors import InputError, IntccmsError
from intccms.execution.executors import Executor, open_executor
from intccms.facility.upload import version_mismatches
from intccms.redaction import redacted
from intccms.schema import Config
from intccms.skimming.columns import resolved
from intccms.skimming.store import Storage
from intccms.storage import Output

State = Literal["ok", "failed", "open"]

MARKS: dict[State, str] = {"ok": "✓", "failed": "✗", "open": "–"}


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Parameters
    ----------
    check, text
        What was looked at, and what was seen.
    state
        ``open``: it could not be decided, or does not matter here.
    remedy
        What to do if it failed.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def rows_of(found: Iterable[Finding]) -> list[list[str]]:
    """Give the rows of a table, the headings first."""
    rows = [[MARKS[one.state], one.check, one.text, one.remedy] for one in found]
    return [["", "check", "found", "remedy"], *rows]


def one_line(error: Exception) -> str:
    """Give the text of an error, or its type."""
    return redacted(" ".join(str(error).split())) or type(error).__name__


SOON = timedelta(hours=2)  # a run takes that long

MIN_FREE_GB = 1.0

# Sums of a weight and its square, each on so many levels of float64 numbers (histograms.exact).
BYTES_PER_BIN = 2 * 6 * 8


def disk(where: str, path: Path) -> Finding:
    """See how much room there is."""
    free = shutil.disk_usage(path).free / 1e9
    state: State = "ok" if free >= MIN_FREE_GB else "failed"
    remedy = "" if state == "ok" else f"make room: at least {MIN_FREE_GB:g} GB"
    return Finding(f"disk {where}", state, f"{free:.1f} GB free at {path}", remedy)


def credentials_found(config: Config) -> list[Finding]:
    """See how long the user's proxy and token live."""
    try:
        found = facility.credentials(config.general.facility)
    except InputError as error:
        return [Finding("credentials", "failed", str(error), "see the message")]
    if not found:
        return [Finding("credentials", "open", "no X509 proxy and no bearer token", "")]
    findings = []
    for one in found:
        left = one.left()
        if left is None:
            text = f"{one.origin}: its end is not known"
            findings.append(Finding(one.kind, "open", text, "pip install cryptography"))
        elif left < SOON:
            hours = left.total_seconds() / 3600
            text = f"{one.origin}: " + ("expired" if hours < 0 else f"only {hours:.1f} h left")
            findings.append(Finding(one.kind, "failed", text, one.remedy))
        else:
            hours = left.total_seconds() / 3600
            findings.append(Finding(one.kind, "ok", f"{one.origin}: {hours:.0f} h left"))
    return findings


def outputs(config: Config) -> list[Finding]:
    """Try to write to the directories of a run."""
    output = Output(config.general)
    places = {output.directory, output.metadata_dir, output.partials_dir, output.skimmed_dir}
    for place in sorted({existing(place) for place in places}):
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            text = f"cannot write to {place}: {error.strerror or error}"
            return [Finding("output", "failed", text, "see general.output_dir")]
    return [Finding("output", "ok", f"writable: {output.directory}")]


def existing(path: Path) -> Path:
    """Give what is there of a path: itself, or the nearest above it."""
    return next(one for one in (path, *path.parents) if one.exists())


def forecast(config: Config) -> dict[str, float]:
    """Estimate the memory of the histograms of each dataset, in bytes."""
    n_bins = sum(
        len(observable.binning) + 1  # with the two flow bins
        for channel in config.active_channels
        for observable in channel.observables
    )
    sizes = {}
    for entry in config.datasets.datasets:
        for key, year in zip(entry.keys(), entry.years, strict=True):
            if entry.name in config.processes:
                plan = plan_variations(
                    config, entry.name, year=year, is_data=entry.is_data, dataset=key
                )
                sizes[key] = float(n_bins * len(plan.labels) * BYTES_PER_BIN)
    return sizes


def memory_here(config: Config) -> Finding:
    """See whether all histograms fit into the memory of this machine."""
    needed = 2 * sum(forecast(config).values())  # the sums, and the book that is made of them
    free = float(psutil.virtual_memory().available)
    return fits("memory here", needed, free)


def fits(check: str, needed: float, free: float) -> Finding:
    """Compare bytes that are needed with those that are free."""
    text = f"histograms take about {needed / 1e6:,.0f} MB of {free / 1e6:,.0f} MB"
    if needed < free / 2:
        return Finding(check, "ok", text)
    return Finding(check, "failed", text, "fewer bins, channels or variations, or more memory")


class Thread:
    """A call that is waited for as long as one likes; one that hangs is left behind."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answer: list[Any] = []
        self._error: list[Exception] = []
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer.append(self._call())
        except Exception as error:  # noqa: BLE001 - handed on to who waits
            self._error.append(error)

    def result(self, limit_s: float) -> Any:
        """Give the answer, or raise what the call has raised.

        Raises
        ------
        TimeoutError
            If there is none by then.
        """
        self._thread.join(max(limit_s, 0))
        if self._error:
            raise self._error[0]
        if not self._answer:
            raise TimeoutError("no answer in time")
        return self._answer[0]


def answer_of(thread: Thread, limit_s: float, check: str) -> list[Finding]:
    """Give the findings of a check; that it failed, or takes too long, is one."""
    try:
        found: list[Finding] = thread.result(limit_s)
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding
        return [Finding(check, "failed", one_line(error), "see the message")]
    return found


COMING = 0.5  # part of the time, until a worker is there

FILE_S = 8.0  # for files to open

AT_ONCE = 32  # files that a worker opens at the same time

AT_A_TIME = 17  # sums of chunks that a worker holds while it adds up 16 of them

STARTED_BY_US = ("local", "slurm", "htcondor")


def on_workers(
    config: Config,
    client: Any,
    until: float,
    tell: Callable[[Finding], None],
    done: Callable[[], None],
) -> None:
    """Look at what only a worker can tell; then close what was started."""
    general = config.general
    name = general.facility or "local"
    n_workers = 1 if name in STARTED_BY_US else None
    wanted = {"executor": "dask", "n_workers": n_workers, "facility": name}
    general = general.model_copy(update=wanted)
    patience_s = COMING * (until - time.monotonic())
    with ExitStack() as stack:
        try:
            opened = open_executor(general, client, code=config, patience_s=patience_s)
            for finding in _asked(config, stack.enter_context(opened), until):
                tell(finding)
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding
            tell(Finding("workers", "failed", one_line(error), "see docs/facilities.md"))
        done()


def _asked(config: Config, executor: Executor, until: float) -> Iterator[Finding]:
    client: Any = getattr(executor, "client", None)
    fileset = DatasetManager(config).fileset(config.general.processes)
    yield Finding("workers", "ok", f"{executor.n_workers} threads at {client.scheduler.address}")
    yield _versions(client)
    yield _memory_of_worker(config, client)
    work: list[tuple[str, Callable[[Any], list[Finding]], Any]] = [
        ("imports", _imports, facility.modules_of(config)),
        ("disk", _worker_disk, None),
        ("files", _opened, tuple(_queries(fileset))),
        ("skims", _skims_writable, config),
    ]
    asked = [(name, Thread(_Ask(executor, call, item))) for name, call, item in work]
    for name, thread in asked:
        yield from answer_of(thread, until - time.monotonic(), name)


@dataclass(frozen=True)
class _Ask:
    """One question to a worker."""

    executor: Executor
    call: Callable[[Any], list[Finding]]
    item: Any

    def __call__(self) -> list[Finding]:
        [(_, answer)] = self.executor.map(self.call, [self.item])
        if isinstance(answer, Exception):
            raise answer
        found: list[Finding] = answer
        return found


def _versions(client: Any) -> Finding:
    found = version_mismatches(client)
    errors = [one for one in found if one.severity == "error"]
    if not found:
        return Finding("versions", "ok", "the same here, on the scheduler and on the workers")
    text = "; ".join(str(one) for one in errors or found)
    remedy = "one environment for all, see docs/facilities.md"
    return Finding("versions", "failed" if errors else "open", text, remedy)


def _imports(modules: tuple[str, ...]) -> list[Finding]:
    """Run on a worker."""
    names = ("intccms.engine.processor", "intccms.execution.chunk", *modules)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module does
            text = f"{name}: {type(error).__name__}: {error}"
            return [Finding("imports", "failed", text, "install it on the workers")]
    packages = dict.fromkeys(["intccms", *(name.partition(".")[0] for name in modules)])
    return [Finding("imports", "ok", ", ".join(packages))]


def _queries(fileset: Fileset) -> Iterator[FileQuery]:
    for files in fileset:
        for pfn in files.pfns(files.lfns[0]) if files.lfns else ():
            yield FileQuery(files.dataset, files.lfns[0], (pfn,), files.tree_name, rounds=1)


def _opened(queries: tuple[FileQuery, ...]) -> list[Finding]:
    """Run on a worker: open files, many at the same time."""
    found = []
    free = threading.Semaphore(AT_ONCE)
    until = time.monotonic() + FILE_S
    for query, thread in [(query, Thread(_Count(query, free))) for query in queries]:
        try:
            answer = thread.result(until - time.monotonic())
        except TimeoutError as error:
            answer = FileFailure(query.dataset, query.lfn, "TimeoutError", str(error))
        if isinstance(answer, FileFailure):
            found.append((query, answer))
    if not found:
        n_datasets = len({query.dataset for query in queries})
        return [Finding("files", "ok", f"{len(queries)} opened, of {n_datasets} datasets")]
    remedy = "is the redirector right, the server up, the proxy or token valid?"
    where = [(query.dataset, redacted(query.pfns[0]), answer.error) for query, answer in found]
    return [
        Finding(f"file of {dataset}", "failed", f"{pfn}: {error}", remedy)
        for dataset, pfn, error in where
    ]


@dataclass(frozen=True)
class _Count:
    query: FileQuery
    free: threading.Semaphore

    def __call__(self) -> Any:
        with self.free:
            why = refusal(self.query.pfns[0])
            if why:
                return FileFailure(self.query.dataset, self.query.lfn, "Unreachable", why)
            return count(self.query)


def _skims_writable(config: Config) -> list[Finding]:
    """Run on a worker: write to the place of the skims, if there will be any."""
    output = config.preprocess.skimming.output
    place = output.output_dir
    if not config.general.run_skimming or place is None:
        return []
    name = f".preflight-{uuid4().hex}"
    try:
        storage = Storage(place, resolved(output.to_kwargs.get("storage_options")))
        storage.write(name, b"x")
        storage.remove(name)
    except (IntccmsError, OSError) as error:
        return [Finding("skims", "failed", one_line(error), "see preprocess.skimming.output")]
    return [Finding("skims", "ok", f"a worker can write to {place}")]


def _worker_disk(_: None) -> list[Finding]:
    return [disk("on a worker", Path.cwd())]


def _memory_of_worker(config: Config, client: Any) -> Finding:
    workers: Iterable[Any] = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [one["memory_limit"] / one["nthreads"] for one in workers if one["memory_limit"]]
    needed = AT_A_TIME * max(forecast(config).values(), default=0.0)
    if not limits:
        return Finding("memory of a worker", "open", "it has no limit")
    return fits("memory of a worker", needed, min(limits) - config.general.batch_memory_mb * 1e6)


WAIT_S = 25.0  # for everything but closing what was started

CLOSE_S = 4.0

LOCAL_S = 8.0  # for what is looked at here


def preflight(config: Config, client: Any = None, *, wait_s: float = WAIT_S) -> list[Finding]:
    """Try in less than 30 seconds what a run would need hours to stumble over.

    Parameters
    ----------
    config
        What is to be run.
    client
        A `distributed.Client` to run on; None: one worker of the configured facility, or of this
        machine.
    wait_s
        How long workers may take to come and to answer.
    """
    until = time.monotonic() + wait_s
    seen: list[Finding] = []
    asked = threading.Event()
    remote = Thread(lambda: on_workers(config, client, until, seen.append, asked.set))
    local = {
        "credentials": Thread(lambda: credentials_found(config)),
        "output": Thread(lambda: outputs(config)),
        "disk": Thread(lambda: [disk("here", existing(Output(config.general).directory))]),
        "memory": Thread(lambda: [memory_here(config)]),
    }
    found: list[Finding] = []
    for name, thread in local.items():
        found += answer_of(thread, LOCAL_S, name)
    if not asked.wait(max(until - time.monotonic(), 0)):
        seen.append(Finding("workers", "failed", "no answer in time", "see its logs"))
    with suppress(Exception):  # a worker that hangs is slow to end; it ends with this process
        remote.result(CLOSE_S)
    return [*seen, *found]

"""Edits of everything that an analysis is made of, and what runs answer before and after them.

Each kernel is a process of its own, forked where nothing of the user was imported yet.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

from intccms.analysis import runner
from intccms.errors import IntccmsError
from intccms.execution.executors import WorkerPool
from intccms.pipeline import Stages
from intccms.schema import load_config
from tests.faults.inputs import write_corrections, write_events
from tests.faults.runs import OnReceipt, bits

__all__ = ["EDITS", "EXECUTORS", "Edit", "Kernels", "answers"]

EXECUTORS = ("iterative", "futures", "dask", "client", "kept")  # of a notebook: workers stay
KERNEL_S = 240.0
COMPILED = "import numba\n@numba.njit\n"  # for that edit only: each worker needs seconds for it
N_FILES, N_EVENTS = 2, 100
CELL = "cell"  # what stands in a cell of the notebook
ENVIRONMENT = "YARDS"  # an environment variable

TEXTS = {
    "edited/__init__.py": "",
    "edited/deep.py": "DEEP = 1.0\n",
    "edited/helpers.py": "from edited import deep\nMODULE = 2.0\n"
    "def helped(x):\n    return x + MODULE + deep.DEEP\n",
    "edited/stars.py": "STAR = 3.0\n",
    "edited/fast.py": "def compiled(x):\n    return x + 13.0\n",
    "edited/cuts.py": """
import functools
import os
from functools import lru_cache, partial

import yardstick
from edited import helpers
from edited.fast import compiled
from edited.stars import *

CONSTANT = 4.0

class Cuts:
    attribute = 5.0
    def method(self, x):
        return x + 6.0

def closed(amount):
    return lambda x: x + amount

closure = closed(7.0)

def defaulted(x, amount=8.0):
    return x + amount

def added(x, amount):
    return x + amount

partially = partial(added, amount=9.0)

def decorated(function):
    @functools.wraps(function)
    def inner(x):
        return function(x) + 10.0
    return inner

@decorated
def wrapped(x):
    return x

@lru_cache(maxsize=None)
def cached(x):
    return x + 11.0

TABLE = {"first": lambda x: x + 12.0}

def threshold():
    from edited import late
    x = CONSTANT + STAR + Cuts.attribute + late.LATE + yardstick.LENGTH
    x += float(os.environ.get("YARDS", "0"))
    for step in (Cuts().method, closure, defaulted, partially, wrapped, cached, TABLE["first"]):
        x = step(x)
    return compiled(helpers.helped(x))

def passes(met):
    return met > threshold()

def value(met):
    return met

def certified(run, lumi, golden):
    import json
    with open(golden) as file:
        ranges = json.load(file)["1"]
    return (lumi >= ranges[0][0]) & (lumi <= ranges[0][1])
""",
    "edited/late.py": "LATE = 14.0\n",
    "edited/conf.py": """
from edited import cuts

config = {
    "general": {
        "lumi": 1000.0, "weight_branch": "genWeight", "chunk_size": 50, "run_statistics": False,
        "n_workers": 1,
    },
    "preprocess": {"skimming": {"chunk_size": 50}},
    "datasets": {"datasets": [
        {"name": "mc", "directories": "mc/", "cross_sections": 1.0},
        {"name": "data", "directories": "data/", "is_data": True, "lumi_mask": {
            "function": cuts.certified, "use": [("run", None), ("luminosityBlock", None)],
            "static_kwargs": {"golden": "golden.json"},
        }},
    ]},
    "channels": [{
        "name": "all", "fit_observable": "met",
        "observables": [{"name": "met", "binning": "0,400,40", "function": cuts.value,
                         "use": [("MET", "pt")]}],
        "selection": {"function": cuts.passes, "use": [("MET", "pt")]},
    }],
    "corrections": [{
        "name": "pileup", "type": "event", "file": "corrections.json", "key": "pileup",
        "args": [("Pileup", "nTrueInt"), "nominal"],
    }],
}
""",
    CELL: "FLOOR = 15.0\ndef in_cell(met):\n    return met > FLOOR\n",
    "golden.json": '{"1": [[1, 1]]}',
    "site-packages/yardstick.py": "LENGTH = 0.5\n",
    "site-packages/yardstick.dist-info/METADATA": "Metadata-Version: 2.1\nName: yardstick\n"
    "Version: 1.0\n",
}


@dataclass(frozen=True)
class Edit:
    """One edit.

    Parameters
    ----------
    changes
        File, what is in it, and what is to be in it.
    refused
        Executors on which a line that names `word` is as good as the right answer: what was
        edited is no text of the user, and workers or the kernel cannot take it up.
    in_cell
        Whether the configuration is made in a cell of the notebook.
    """

    changes: tuple[tuple[str, str, str], ...]
    refused: tuple[str, ...] = ()
    word: str = ""
    in_cell: bool = False


def _cut(file: str, old: str, new: str) -> Edit:
    return Edit(((file, old, new),))


CUTS = "edited/cuts.py"
EDITS = {
    "constant": _cut(CUTS, "CONSTANT = 4.0", "CONSTANT = 44.0"),
    "helper module": _cut("edited/helpers.py", "MODULE = 2.0", "MODULE = 42.0"),
    "helper of helper": _cut("edited/deep.py", "DEEP = 1.0", "DEEP = 41.0"),
    "class attribute": _cut(CUTS, "attribute = 5.0", "attribute = 45.0"),
    "closure": _cut(CUTS, "closed(7.0)", "closed(47.0)"),
    "default argument": _cut(CUTS, "amount=8.0", "amount=48.0"),
    "partial": _cut(CUTS, "amount=9.0", "amount=49.0"),
    "method": _cut(CUTS, "x + 6.0", "x + 46.0"),
    "decorator": _cut(CUTS, "+ 10.0", "+ 50.0"),
    "lru_cache": _cut(CUTS, "x + 11.0", "x + 51.0"),
    "dict of functions": _cut(CUTS, "x + 12.0", "x + 52.0"),
    "star import": _cut("edited/stars.py", "STAR = 3.0", "STAR = 43.0"),
    "late import": _cut("edited/late.py", "LATE = 14.0", "LATE = 54.0"),
    "numba": _cut("edited/fast.py", "x + 13.0", "x + 53.0"),
    "notebook cell": Edit(((CELL, "FLOOR = 15.0", "FLOOR = 155.0"),), in_cell=True),
    "module used by a cell": Edit(((CUTS, "CONSTANT = 4.0", "CONSTANT = 44.0"),), in_cell=True),
    "correction file": Edit((("corrections.json", "0.9", "0.7"),), EXECUTORS, "corrections.json"),
    "golden JSON": Edit((("golden.json", "[1, 1]", "[1, 2]"),), EXECUTORS, "golden.json"),
    "environment variable": Edit(((ENVIRONMENT, "0", "40"),), EXECUTORS, "YARDS|other code"),
    "package version": Edit(
        (
            ("site-packages/yardstick.py", "0.5", "40.5"),
            ("site-packages/yardstick.dist-info/METADATA", "Version: 1.0", "Version: 2.0"),
        ),
        EXECUTORS,
        "yardstick|other code",
    ),
}


def prepared(folder: Path, edit: str) -> Path:
    """Write the events, and all texts as they are before an edit."""
    for name in ("mc", "data"):
        (folder / name).mkdir(parents=True)
        for number in range(N_FILES):
            write_events(folder / name / f"{number}.root", _events(number))
    for name, text in TEXTS.items():
        if name != CELL:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(COMPILED + text if (edit, path.name) == ("numba", "fast.py") else text)
    write_corrections(folder / "corrections.json")
    return folder


def _events(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {
        "MET_pt": rng.uniform(0, 400, N_EVENTS).astype("f4"),
        "MET_phi": np.zeros(N_EVENTS, "f4"),
        "Pileup_nTrueInt": rng.uniform(5, 50, N_EVENTS).astype("f4"),
        "genWeight": rng.uniform(90, 110, N_EVENTS).astype("f4"),
        "run": np.ones(N_EVENTS, "u4"),
        "luminosityBlock": rng.integers(1, 4, N_EVENTS).astype("u4"),
        "event": np.arange(N_EVENTS, dtype="u8") + 1000 * number,
    }


@dataclass
class Kernel:
    """What a kernel does; `run` answers the digest of the histograms, or what was refused."""

    folder: Path
    executor: str
    is_edited: bool = False
    cluster: Any = None  # whose workers outlive the runs
    pool: WorkerPool = field(default_factory=WorkerPool)

    def __post_init__(self) -> None:
        sys.path[:0] = [str(self.folder), str(self.folder / "site-packages")]
        sys.dont_write_bytecode = False
        os.chdir(self.folder)
        self.main = sys.modules["__main__"] = ModuleType("__main__")  # as that of a notebook
        self.main.In = [""]

    def apply(self, edit: Edit) -> None:
        """Edit, once."""
        if self.is_edited:
            return
        self.is_edited = True
        for name, old, new in edit.changes:
            if name == ENVIRONMENT:
                os.environ[ENVIRONMENT] = new
            elif name != CELL:
                text = (self.folder / name).read_text()
                if new not in text:  # another kernel may have done it
                    (self.folder / name).write_text(text.replace(old, new))

    def run(self, out: str, edit: Edit, when_begun: Callable[[], None] | None = None) -> str:
        """Run as a notebook would from its first cell on."""
        observer = OnReceipt(lambda n: when_begun() if n == 1 and when_begun else None)
        name = {"client": "iterative", "kept": "futures"}.get(self.executor, self.executor)
        overrides = {
            "general.base_dir": str(self.folder),
            "general.output_dir": str(self.folder / out),
            "general.executor": name,
        }
        try:
            config = load_config(self._source(edit), overrides)
            if self.executor == "kept":
                return self._looked(Stages(config, observer=observer, pool=self.pool))
            if self.executor != "client":
                return bits(runner.run(config, observer=observer))
            with Client(self._workers()) as client:
                return bits(runner.run(config, client, observer=observer))
        except IntccmsError as error:
            return f"{type(error).__name__}: {error}"

    def _looked(self, stages: Stages) -> str:
        try:
            stages.count_files()
            stages.process()
        finally:
            stages.close()
        assert stages.result.analysis is not None
        return bits(stages.result.analysis)

    def _workers(self) -> LocalCluster:
        if self.cluster is None:
            self.cluster = LocalCluster(
                n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
            )
        return self.cluster

    def _source(self, edit: Edit) -> Any:
        if not edit.in_cell:
            return "edited.conf:config"
        from intccms.usercode.reloading import refresh

        refresh(["edited.conf"])
        text = TEXTS[CELL]
        for name, old, new in edit.changes:
            text = text.replace(old, new) if name == CELL and self.is_edited else text
        main = vars(self.main)
        main["In"].append(text)
        exec(text, main)
        from edited.conf import config

        return {
            **config,
            "baseline_selection": {"function": main["in_cell"], "use": [("MET", "pt")]},
        }


def session(kernel: dict[str, Any], name: str, moment: str, out: str, queue: Any) -> None:
    """Be a kernel: run, and answer."""
    try:
        here, edit = Kernel(**kernel), EDITS[name]
        answer: dict[str, str] = {}
        if moment == "edited":
            answer["in mid-run"] = here.run(out, edit, lambda: here.apply(edit))
            here.apply(edit)
            answer["same kernel"] = here.run(out, edit)
        else:
            if moment == "after":
                here.apply(edit)
            answer[moment] = here.run(out, edit)
        if here.cluster is not None:
            here.cluster.close()
        here.pool.close()
        queue.put(answer)
    except BaseException:
        queue.put({moment: traceback.format_exc()})
        raise


class Kernels:
    """Starts kernels, which know nothing of what others have imported."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.faults.warm"])
        self._clean: dict[str, str] = {}

    def ask(self, kernel: dict[str, Any], name: str, moment: str, out: str) -> dict[str, str]:
        """Run a session to its end."""
        queue = self.context.SimpleQueue()
        process = self.context.Process(target=session, args=(kernel, name, moment, out, queue))
        process.start()
        process.join(KERNEL_S)
        if process.is_alive():
            process.kill()
            return {moment: f"not done after {KERNEL_S:g} s"}
        return queue.get() if not queue.empty() else {moment: f"exit {process.exitcode}"}

    def clean(self, name: str, moment: str, folder: Path) -> str:
        """Give the answer of a run in a new folder, before or after an edit; it is run once."""
        key = name if moment == "after" else f"in cell: {EDITS[name].in_cell}"
        if key not in self._clean:
            kernel = {"executor": "iterative", "folder": prepared(folder / moment, name)}
            self._clean[key] = self.ask(kernel, name, moment, "out")[moment]
        return self._clean[key]


def answers(
    kernels: Kernels, name: str, executors: Iterable[str], work: Path
) -> dict[tuple[str, str], str]:
    """Make an edit under each executor; say by executor and moment what is wrong, or nothing.

    In mid-run the code counts that was loaded when the run began; afterwards, in the same kernel
    and in a new one that finds what the first has stored, it is the edited one.
    """
    before, after = (kernels.clean(name, moment, work) for moment in ("before", "after"))
    if before == after or len(before) != len(after):
        return {("clean", "in mid-run"): f"no edit that can be seen: {before}, {after}"}
    found = {}
    for executor in executors:
        folder = prepared(work / executor, name)
        kernel = {"folder": folder, "executor": executor}
        said = kernels.ask(kernel, name, "edited", "out")
        said |= {"new kernel": kernels.ask(kernel, name, "after", "out").get("after", "")}
        for moment in ("in mid-run", "same kernel", "new kernel"):
            answer = said.get(moment, str(said))
            found[executor, moment] = _wrong(EDITS[name], executor, answer, moment, before, after)
    return found


def _wrong(edit: Edit, executor: str, answer: str, moment: str, before: str, after: str) -> str:
    right = before if moment == "in mid-run" else after
    if answer == right:
        return ""
    if executor in edit.refused and re.search(edit.word, answer) and "\n" not in answer:
        return ""
    is_of_workers = executor == "client" and edit.changes[0][0] == ENVIRONMENT
    if is_of_workers and answer == before:  # they keep the environment that they began with
        return ""
    meant = {before: "the answer before the edit", after: "the answer after the edit"}
    return meant.get(answer, answer)

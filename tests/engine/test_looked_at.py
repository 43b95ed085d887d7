"""What a function opens or asks the environment while it runs belongs to its result."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from intccms import facility
from intccms.analysis.runner import AnalysisResult, run
from intccms.errors import FunctionError
from intccms.schema import load_config
from tests.engine import small
from tests.engine.conftest import make_events, write_file

FUNCTIONS = """
import glob
import importlib.resources
import json
import os
import pkgutil
import posix
import time
from functools import cached_property, lru_cache, partial
from pathlib import Path

import correctionlib
import numpy as np
import pyarrow.parquet as pq
import yaml

HERE = Path(__file__).parent


def one(pt):
    return 1.0 + 0 * pt


def json_at_each_call(pt):
    return json.loads((HERE / "w.json").read_text()) + 0 * pt


def yaml_at_each_call(pt):
    with open(HERE / "w.json") as file:
        return yaml.safe_load(file) + 0 * pt


@lru_cache
def _read():
    return json.loads((HERE / "w.json").read_text())


def json_once(pt):
    return _read() + 0 * pt


@lru_cache(maxsize=None)
def _set(name):
    return correctionlib.CorrectionSet.from_file(str(HERE / name))


def correction_set_once(pt):
    return _set("set.json")["w"].evaluate(np.asarray(pt, dtype=float))


class Lazy:
    @lru_cache
    def table(self):
        return np.load(HERE / "w.npy")

    def __call__(self, pt):
        return self.table()[0] + 0 * pt


array_of_an_object = Lazy()


def in_default(pt, path=HERE / "w.json"):
    return json.loads(path.read_text()) + 0 * pt


in_partial = partial(in_default, path=HERE / "w.json")


def of_a_package(pt):
    file = importlib.resources.files(f"inner_{__name__}") / "r.json"
    return json.loads(file.read_text()) + 0 * pt


def of_a_module(pt):
    return json.loads(pkgutil.get_data(__name__, "r.json")) + 0 * pt


def environment(pt):
    return float(os.environ["INTCCMS_W"]) + 0 * pt


def environment_or_default(pt):
    return float(os.getenv("INTCCMS_W", "1")) + 0 * pt


def names_in_a_folder(pt):
    return len(glob.glob(str(HERE / "many" / "*"))) + 0 * pt


def size_if_it_is_there(pt):
    try:
        return float((HERE / "maybe").read_text()) + 0 * pt
    except FileNotFoundError:
        return 1.0 + 0 * pt


KEPT = {}


def kept_in_a_global(pt):
    if not KEPT:
        KEPT["w"] = json.loads((HERE / "w.json").read_text())
    return KEPT["w"] + 0 * pt


class Table:
    @cached_property
    def weight(self):
        return json.loads((HERE / "w.json").read_text())


TABLE = Table()


def kept_on_an_object(pt):
    return TABLE.weight + 0 * pt


def named(pt, *, files):
    return json.loads(Path(files["weights"][0]).read_text()) + 0 * pt


RNG = np.random.default_rng(1)


def unseeded(pt):
    return 1.0 + RNG.normal(size=len(pt))


def clock(pt):
    return 1.0 + 0 * pt + 0 * time.time()


def seeded(pt):
    return 1.0 + np.random.normal(size=len(pt))


def by_program(pt, call=posix.system):
    return 1.0 + call("true") + 0 * pt


def far_away(pt, path="root://127.0.0.1//sf.root"):
    return 1.0 + 0 * pt


def library(pt):
    return Opaque.read(HERE / "w.parquet") + 0 * pt


def library_and_a_made_up_name(pt):
    return Opaque.read(f"{HERE}/w{len('w')}.parquet") + 0 * pt


class Opaque:
    @staticmethod
    def read(path):
        return pq.read_table(str(path)).column("w")[0].as_py()
"""
READ_AGAIN = (
    "json_at_each_call",
    "yaml_at_each_call",
    "json_once",
    "correction_set_once",
    "array_of_an_object",
    "in_default",
    "in_partial",
    "of_a_package",
    "of_a_module",
    "environment",
    "environment_or_default",
    "names_in_a_folder",
    "size_if_it_is_there",
)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the user beside its inputs and two chunks of events."""
    write_file(tmp_path / "mc/0.root", make_events(120, 1))
    name = f"weights_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(name)
    sys.modules.pop(name)


def put(module: ModuleType, weight: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every input say `weight`."""
    here = module.HERE
    (here / "w.json").write_text(str(weight))
    np.save(here / "w.npy", np.array([float(weight)]))
    for name in ("w.parquet", "w1.parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"w": [float(weight)]}), here / name)
    inner = here / f"inner_{module.__name__}"
    inner.mkdir(exist_ok=True)
    (inner / "__init__.py").touch()
    for folder in (here, inner):
        (folder / "r.json").write_text(str(weight))
    (here / "many").mkdir(exist_ok=True)
    for number in range(weight):
        (here / "many" / str(number)).touch()
    if weight > 1:
        (here / "maybe").write_text(str(weight))
    content = {
        "name": "w",
        "version": 1,
        "inputs": [{"name": "x", "type": "real"}],
        "output": {"name": "w", "type": "real"},
        "data": float(weight),
    }
    text = json.dumps({"schema_version": 2, "corrections": [content]})
    (here / "set.json").write_text(text)
    monkeypatch.setenv("INTCCMS_W", str(weight))


def analysed(module: ModuleType, function: Any, client: Any = None, **parts: Any) -> AnalysisResult:
    sf = {"name": "sf", "type": "event", "use": [("PuppiMET", "pt")], "nominal_function": function}
    general = {
        "base_dir": str(module.HERE),
        "output_dir": str(module.HERE / "out"),
        "executor": "iterative",
        **parts.pop("general", {}),
    }
    configuration = small.config(general=general, **{"corrections": [sf], **parts})
    configuration["preprocess"]["skimming"]["chunk_size"] = 60
    return run(load_config(configuration), client)


def outcome(result: AnalysisResult) -> tuple[float, list[str]]:
    """Yield, and what became of the chunks."""
    total = float(
        result.histograms.histograms["all", "met"][:, "mc", "nominal"].values(flow=True).sum()
    )
    return round(total, 9), [
        "done" if report.status.is_in_rates else str(report.status) for report in result.reports
    ]


DONE, RESUMED = ["done", "done"], ["resumed", "resumed"]


@pytest.mark.parametrize("name", READ_AGAIN)
def test_the_answer_follows_what_is_looked_at(
    weights: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = getattr(weights, name)
    for weight in (1, 2, 3):
        put(weights, weight, monkeypatch)
        assert outcome(analysed(weights, function)) == (weight, DONE)
        assert outcome(analysed(weights, function)) == (weight, RESUMED)


@pytest.mark.parametrize("name", ["library", "library_and_a_made_up_name"])
def test_files_that_a_library_opens_are_known_by_their_names(
    weights: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = getattr(weights, name)
    put(weights, 1, monkeypatch)
    assert outcome(analysed(weights, function)) == (1, DONE)
    assert outcome(analysed(weights, function)) == (1, RESUMED)
    put(weights, 2, monkeypatch)
    for _ in range(2):  # nobody knows when this process has read it: nothing is taken
        assert outcome(analysed(weights, function)) == (2, DONE)
    put(weights, 1, monkeypatch)
    assert outcome(analysed(weights, function))[0] == 1


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_workers_follow_it_too(
    weights: ModuleType, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        client = None
        if executor == "dask":  # its workers outlive the run
            client = stack.enter_context(facility.connect("local", n_workers=1))
        for weight in (1, 2):
            put(weights, weight, monkeypatch)
            for status in (DONE, RESUMED):
                general = {"executor": executor, "n_workers": 1}
                got = analysed(weights, weights.json_once, general=general, client=client)
                assert outcome(got) == (weight, status)


def test_what_stands_there_again_is_taken_again(
    weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(weights, 1, monkeypatch)
    assert outcome(analysed(weights, weights.json_at_each_call)) == (1, DONE)
    path = weights.HERE / "w.json"
    path.write_text("1")  # a newer file of the same content
    assert outcome(analysed(weights, weights.json_at_each_call)) == (1, RESUMED)


def test_what_no_function_looks_at_does_not_count(
    weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(weights, 1, monkeypatch)
    assert outcome(analysed(weights, weights.one)) == (1, DONE)
    put(weights, 2, monkeypatch)
    assert outcome(analysed(weights, weights.one)) == (1, RESUMED)


@pytest.mark.parametrize("name", ["kept_in_a_global", "kept_on_an_object"])
def test_old_content_that_is_kept_is_an_error(
    weights: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = getattr(weights, name)
    put(weights, 1, monkeypatch)
    assert outcome(analysed(weights, function))[0] == 1
    put(weights, 2, monkeypatch)
    for _ in range(2):
        with pytest.raises(FunctionError, match=r"correction 'sf': .*w\.json has changed.*restart"):
            analysed(weights, function)
    weights.KEPT.clear()
    vars(weights.TABLE).clear()
    assert outcome(analysed(weights, function))[0] == 2


def test_files_in_arguments_count_by_content_wherever_they_are(
    weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(weights, 1, monkeypatch)

    def analysis(path: Path) -> AnalysisResult:
        met = small.observable("met", weights.named, ("PuppiMET", "pt"))
        met["static_kwargs"] = {"files": {"weights": [str(path)]}}
        return analysed(weights, weights.one, channels=[small.channel("all", [met])])

    first, second = weights.HERE / "w.json", weights.HERE / "elsewhere.json"
    assert outcome(analysis(first))[1] == DONE
    second.write_bytes(first.read_bytes())
    first.write_text("7")
    assert outcome(analysis(second))[1] == RESUMED
    assert outcome(analysis(first))[1] == DONE


@pytest.mark.parametrize(
    ("name", "word"), [("by_program", "another program"), ("far_away", "a file at root://")]
)
def test_what_cannot_be_looked_at_again_is_never_kept(
    weights: ModuleType, name: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert outcome(analysed(weights, getattr(weights, name))) == (1, DONE)
        told = [line for line in caplog.messages if word in line]
        assert len(told) == 1
        assert "correction 'sf'" in told[0]
        assert "never kept" in told[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [("unseeded", ["each executor gives another answer", "RNG"]), ("clock", ["time.time"])],
)
def test_what_cannot_be_foreseen_is_never_kept(
    weights: ModuleType, name: str, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert outcome(analysed(weights, getattr(weights, name)))[1] == DONE
        told = [line for line in caplog.messages if "never kept" in line]
        assert len(told) == 1
        assert all(word in told[0] for word in ["mc", *words])
    assert not list((weights.HERE / "out").rglob("*.partial"))


def test_numpys_own_generator_is_seeded_and_its_results_are_kept(weights: ModuleType) -> None:
    first = outcome(analysed(weights, weights.seeded))
    again = outcome(analysed(weights, weights.seeded))
    fresh = outcome(analysed(weights, weights.seeded, general={"read_from_cache": False}))
    assert first == fresh
    assert again == (first[0], RESUMED)


def test_values_of_variables_are_not_stored(
    weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTCCMS_W", "12345.0625")
    analysed(weights, weights.environment)
    stored = [path for path in (weights.HERE / "out").rglob("*") if path.is_file()]
    assert any(b"INTCCMS_W" in path.read_bytes() for path in stored)
    assert not any(b"12345.0625" in path.read_bytes() for path in stored)


def test_kept_columns_follow_what_the_skim_selection_looked_at(
    weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = weights._read

    def analysis(binning: str) -> AnalysisResult:
        met = small.observable("met", lambda pt: pt, ("PuppiMET", "pt"), edges=binning)
        skim = {"function": lambda pt: pt * read() > 60, "use": [("PuppiMET", "pt")]}
        return analysed(
            weights,
            weights.one,
            channels=[small.channel("all", [met])],
            preprocess={"skimming": skim},
            general={"cache_dir": str(weights.HERE / "cache")},
        )

    def kept(result: AnalysisResult) -> bool:
        return {str(report.status) for report in result.reports} == {"cached"}

    put(weights, 1, monkeypatch)
    first = outcome(analysis("0,1000,10"))
    again = analysis("0,1000,11")
    assert kept(again)
    assert outcome(again) == first
    put(weights, 2, monkeypatch)
    second = analysis("0,1000,12")
    assert not kept(second)
    assert outcome(second)[0] > first[0]
    third = analysis("0,1000,13")
    assert kept(third)
    assert outcome(third) == outcome(second)
    put(weights, 1, monkeypatch)  # also where only kept columns were used in between
    last = analysis("0,1000,13")
    assert not kept(last)
    assert outcome(last) == first


def test_a_file_that_changes_during_the_run_is_an_error(
    weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(weights, 1, monkeypatch)

    def impatient(pt: Any) -> Any:
        answer = weights.json_at_each_call(pt)
        path = weights.HERE / "w.json"
        path.write_text(str(int(path.read_text()) + 1))
        return answer

    with pytest.raises(FunctionError, match=r"w\.json was changed while the run was reading it"):
        analysed(weights, impatient)
    now = int((weights.HERE / "w.json").read_text())
    assert outcome(analysed(weights, weights.json_at_each_call))[0] == now

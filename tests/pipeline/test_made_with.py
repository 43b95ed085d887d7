"""Saved histograms: what can be changed afterwards is applied, what cannot is refused by name."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.errors import InputError
from intccms.histograms import Book, storage
from intccms.pipeline import RunResult, Stages
from intccms.schema import load_config
from tests.engine import small
from tests.engine.flat import write

MET = ("MET", "pt")
Table = dict[str, Any]
Change = Callable[[Table], None]


def met(pt: Any) -> Any:
    return pt


def hard(pt: Any) -> Any:
    return pt > 50


def harder(pt: Any) -> Any:
    return pt > 60


def table(base: Path) -> Table:
    """One channel; a signal, a background of two years and data; one variation."""
    datasets = [
        {"name": "signal", "directories": "signal/", "cross_sections": 2.0, "years": "2016"},
        {"name": "top", "directories": ("a/", "b/"), "cross_sections": (3.0, 4.0),
         "years": ("2016", "2017")},
        {"name": "data", "directories": "data/", "is_data": True, "years": "2016"},
    ]  # fmt: skip
    general = {
        "lumi": {"2016": 100.0, "2017": 50.0}, "weight_branch": "genWeight",
        "base_dir": str(base), "output_dir": str(base / "out"), "executor": "iterative",
        "run_statistics": False, "metrics": {"enable": False},
    }  # fmt: skip
    source = {
        "name": "scale", "type": "event", "use": [MET],
        "up_function": lambda pt: 1 + pt / 900, "down_function": lambda pt: 1 - pt / 900,
    }  # fmt: skip
    observables = [
        small.observable(name, met, MET, edges=[0.0, 60.0, 120.0, 200.0]) for name in ("met", "pt")
    ]
    channels = [
        small.channel(name, observables, small.function(hard, MET)) for name in ("one", "two")
    ]
    channels[1]["fit_observable"] = None  # it holds the same events
    return {
        "general": general,
        "preprocess": {"skimming": {"chunk_size": 1000}},
        "datasets": {"datasets": datasets},
        "channels": channels,
        "systematics": [source],
    }


def ran(wanted: Table, *, saved: bool = False, out: str = "out", **general: Any) -> RunResult:
    wanted = copy.deepcopy(wanted)
    wanted["general"] |= general | {"output_dir": wanted["general"]["base_dir"] + f"/{out}"}
    wanted["general"] |= {"run_processor": not saved}
    with Stages(load_config(wanted)) as stages:
        stages.count_files()
        stages.process()
        stages.infer()
        return stages.finish()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for seed, name in enumerate(("signal", "a", "b")):
        weight = np.where(np.arange(200) % 5 == 0, -1, 1).astype("f4")
        write(tmp_path / f"{name}/0.root", 200, seed=seed, genWeight=weight)
    write(tmp_path / "data/0.root", 150, seed=7, genWeight=None)
    return tmp_path


@pytest.fixture
def wanted(base: Path) -> Table:
    made = table(base)
    ran(made)
    return made


def same_books(one: Book | None, other: Book | None) -> None:
    assert one is not None
    assert other is not None
    assert list(one.histograms) == list(other.histograms)
    assert one.varied == other.varied
    assert one.overlaps == other.overlaps
    for key, histogram in one.histograms.items():
        assert histogram.axes == other.histograms[key].axes
        for name in ("value", "variance"):
            ours, theirs = (h.view(flow=True)[name] for h in (histogram, other.histograms[key]))
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def lumi(change: Table) -> None:
    change["general"]["lumi"] = {"2016": 300.0, "2017": 25.0}


def cross_sections(change: Table) -> None:
    change["datasets"]["datasets"][1]["cross_sections"] = (6.0, 8.0)


def one_cross_section(change: Table) -> None:
    change["datasets"]["datasets"][1]["cross_sections"] = (6.0, 4.0)


def label(change: Table) -> None:
    change["channels"][0]["observables"][0]["label"] = "MET [GeV]"


def flow(change: Table) -> None:
    change["channels"][0]["observables"][1]["flow"] = "fold"


def order(change: Table) -> None:
    change["datasets"]["datasets"].reverse()
    change["channels"].reverse()


def fewer_processes(change: Table) -> None:
    change["general"]["processes"] = ["top", "data"]


def fewer_datasets(change: Table) -> None:
    del change["datasets"]["datasets"][0]


def fewer_channels(change: Table) -> None:
    del change["channels"][1]
    del change["channels"][0]["observables"][1]


def nominal(change: Table) -> None:
    change["general"]["run_systematics"] = False


@pytest.mark.parametrize(
    "change",
    [lumi, cross_sections, one_cross_section, label, flow, order, fewer_processes, fewer_datasets,
     fewer_channels, nominal],
)  # fmt: skip
def test_what_can_be_applied_gives_what_a_new_run_gives(wanted: Table, change: Change) -> None:
    change(wanted)
    again = ran(wanted, saved=True)
    anew = ran(wanted, out="anew")
    same_books(again.book, anew.book)
    assert again.book.folded == anew.book.folded
    for channel, flows in anew.cutflow.items():
        for process, steps in flows.items():
            found = again.cutflow[channel][process]
            assert [one.n_events for one in found] == [one.n_events for one in steps]
            yields = [one.yields for one in found]
            np.testing.assert_allclose(yields, [one.yields for one in steps], atol=1e-12)
    assert again.summary["yields"].keys() == anew.summary["yields"].keys()
    for channel, one in anew.summary["yields"].items():
        assert again.summary["yields"][channel] == {
            name: pytest.approx(value) for name, value in one.items()
        }


def test_histograms_on_disk_stay_those_that_were_made(wanted: Table) -> None:
    folder = Path(wanted["general"]["output_dir"]) / "histograms"
    before = (folder / storage.JSON_NAME).read_bytes()
    first = storage.load(folder)
    lumi(wanted)
    ran(wanted, saved=True)
    assert (folder / storage.JSON_NAME).read_bytes() == before
    again = ran(table(Path(wanted["general"]["base_dir"])), saved=True)
    same_books(again.book, first)


def binning(change: Table) -> str:
    change["channels"][0]["observables"][0]["binning"] = [0.0, 200.0]
    return r"channels\.one\.observables\.met\.binning"


def selection(change: Table) -> str:
    change["channels"][0]["selection"]["function"] = harder
    return r"channels\.one\.selection\.function is another function"


def weight(change: Table) -> str:
    change["general"]["weight_branch"] = "other"
    return 'general.weight_branch: "genWeight" -> "other"'


def clip(change: Table) -> str:
    change["general"]["weight_clip"] = 3.0
    return "general.weight_clip: null -> 3.0"


def channel(change: Table) -> str:
    change["channels"].append({**change["channels"][0], "name": "three"})
    return r"channels\.three\.name is new"


def process(change: Table) -> str:
    change["datasets"]["datasets"].append(
        {"name": "new", "directories": "b/", "cross_sections": 1.0, "years": "2017"}
    )
    return r"datasets\.datasets\.new\.\S+ is new"


def directory(change: Table) -> str:
    change["datasets"]["datasets"][0]["directories"] = ("a/",)
    return r"datasets\.datasets\.signal\.directories"


def variation(change: Table) -> str:
    change["systematics"] = []
    return r"systematics\S* is gone|systematics: "


def another_file(change: Table) -> str:
    write(Path(change["general"]["base_dir"]) / "signal/1.root", 10)
    return r"datasets\.datasets\.signal\.directories\.0: \S+ is not what it was"


@pytest.mark.parametrize(
    "change",
    [binning, selection, weight, clip, channel, process, directory, variation, another_file],
)
@pytest.mark.parametrize("general", [{}, {"run_plots_only": True}])
def test_what_cannot_be_applied_is_refused_by_name_and_nothing_is_written(
    wanted: Table, change: Callable[[Table], str], general: Table
) -> None:
    out = Path(wanted["general"]["output_dir"])
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    pattern = change(wanted)
    with pytest.raises(InputError, match=pattern) as caught:
        ran(wanted, saved=True, **general)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_channels_that_were_not_filled_are_refused(base: Path) -> None:
    wanted = table(base)
    ran(wanted, channels=["one"])
    with pytest.raises(InputError, match="general.channels: 'two'"):
        ran(wanted, saved=True)


def test_touched_inputs_are_the_same(wanted: Table) -> None:
    for path in Path(wanted["general"]["base_dir"]).glob("*/0.root"):
        os.utime(path, (1.0, 1.0))
    assert ran(wanted, saved=True).book is not None


def test_histograms_that_do_not_say_what_they_are_of_are_taken_as_they_are(
    wanted: Table, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(wanted["general"]["output_dir"]) / "histograms" / storage.JSON_NAME
    content = json.loads(path.read_text())
    del content["made_with"]
    path.write_text(json.dumps(content))
    ran(wanted, saved=True)
    assert "do not say what they were made with" in caplog.text


def test_a_fit_of_other_histograms_is_not_shown(wanted: Table, caplog: Any) -> None:
    first = ran(wanted, saved=True, run_statistics=True)
    again = ran(wanted, run_plots_only=True, run_statistics=True)
    assert again.summary["limits"] == first.summary["limits"] != {}
    lumi(wanted)
    other = ran(wanted, run_plots_only=True, run_statistics=True)
    assert (other.summary["fit"], other.summary["limits"], other.results) == ({}, {}, {})
    assert "left out" in caplog.text
    anew = ran(wanted, saved=True, run_statistics=True)
    assert anew.summary["limits"] != first.summary["limits"]
    assert ran(wanted, run_plots_only=True).summary["limits"] == anew.summary["limits"]

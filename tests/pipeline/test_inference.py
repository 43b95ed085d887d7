"""Several signals: the same numbers wherever they are fitted, and none stops the others."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from intccms.errors import FitError, InputError
from intccms.execution.checkpoints import encode
from intccms.execution.dask.cluster import DaskExecutor
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.execution.tasks import Silent
from intccms.histograms import Book
from intccms.pipeline.figures import fit_figures
from intccms.pipeline.inference import _classes, infer_signals, load_results
from intccms.pipeline.summary import RunResult
from intccms.plots import look_of
from intccms.statistics import build_workspace, infer
from intccms.storage import Output
from tests.histograms.test_storage import Planted
from tests.statistics.conftest import (
    CONTROL_REGION,
    SIGNAL_REGION,
    MakeBook,
    MakeConfig,
    make_book,
    make_config,
)

__all__ = ["make_book", "make_config"]  # fixtures
MASSES = {"zprime_m1000": 1000.0, "zprime_m2000": 2000.0, "zprime_m3000": 3000.0}


def contents(region: dict[str, Any], weakest: float = 1.0) -> dict[str, Any]:
    """Three signals of different strength instead of one."""
    others = {name: one for name, one in region.items() if name != "signal"}
    scales = dict(zip(MASSES, (1.0, 2.0, weakest), strict=True))
    signals = {
        name: {label: [scale * one for one in bins] for label, bins in region["signal"].items()}
        for name, scale in scales.items()
    }
    return signals | others


def found_by(executor: Executor, config: Any, book: Book) -> RunResult:
    found = RunResult(config, Output(config.general), book=book)
    infer_signals(found, lambda: executor, Silent())
    return found


def files(folder: Path) -> dict[str, bytes]:
    """All files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_cluster_gives_the_same_files_as_one_process(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book(contents(SIGNAL_REGION), contents(CONTROL_REGION))
    results = []
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        for name, executor in (("one", IterativeExecutor()), ("dask", DaskExecutor(client))):
            general = {"output_dir": str(tmp_path / name)}
            config = make_config(tuple(contents(SIGNAL_REGION)), general, masses_gev=MASSES)
            found = found_by(executor, config, book)
            assert list(found.results) == list(MASSES)
            results.append(files(tmp_path / name / "statistics"))
    serial, parallel = results
    text = serial.pop("cabinetry.yml").replace(b"/one/", b"/dask/")  # names the output directory
    assert parallel.pop("cabinetry.yml") == text
    assert {f"workspace_{name}.json" for name in MASSES} < set(serial)
    roots = [name for name in serial if name.endswith(".root")]  # hold the time of writing
    for name in roots:
        assert len(serial.pop(name)) == len(parallel.pop(name))
    assert parallel == serial


def test_threads_of_one_process_do_not_disturb_each_other(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    config = make_config(tuple(contents(SIGNAL_REGION)))
    book = make_book(contents(SIGNAL_REGION))
    workspaces = [build_workspace(config, book, name) for name in MASSES]
    alone = [infer(one, n_ranked=1).summary() for one in workspaces]
    together: dict[str, Any] = {}

    def run(index: int) -> None:
        together[workspaces[index].signal] = infer(workspaces[index], n_ranked=1).summary()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(workspaces))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [together[one.signal] for one in workspaces] == alone


def test_a_signal_that_cannot_be_fitted_stops_no_other(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book(contents(SIGNAL_REGION, weakest=1e-13))
    config = make_config(tuple(contents(SIGNAL_REGION)), masses_gev=MASSES)
    found = RunResult(config, output := Output(config.general), book=book)
    with pytest.raises(FitError, match="fit of zprime_m3000 failed: no sensitivity to signal_st"):
        infer_signals(found, IterativeExecutor, Silent())
    assert list(found.results) == ["zprime_m1000", "zprime_m2000"]
    limits = json.loads((tmp_path / "out" / "statistics" / "limits.json").read_text())
    assert set(limits) == {"zprime_m1000", "zprime_m2000"}
    again = load_results(output.statistics_dir)
    assert set(again) == set(limits)
    for signal, result in found.results.items():  # all numbers, to the last bit
        assert encode(again[signal], key="", codecs=_classes()) == encode(
            result, key="", codecs=_classes()
        )
        assert again[signal].summary() == result.summary()


def test_a_pickle_that_somebody_has_put_in_place_of_the_results_is_not_loaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "results.dat").write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"results\.dat cannot be read .*run the fit again"):
        load_results(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_what_failed_of_a_signal_takes_nothing_else_with_it(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    # Below 0.04 background events no asymptotic limit is given; the fit does not need one.
    empty = {
        name: {label: [0.01 * one for one in bins] for label, bins in variations.items()}
        for name, variations in SIGNAL_REGION.items()
        if name in ("ttbar", "wjets")
    }
    bins = {"nominal": [0.0, 0.0, 4.0]}
    contents = {"signal": bins, **empty, "data": {"nominal": [1.0, 0.0, 0.0]}}
    for name in ("ttbar", "wjets"):
        contents[name] = {label: [*one[:2], 0.01] for label, one in contents[name].items()}
    config, book = make_config(), make_book(contents)
    view: Any = book.histograms["sr", "mass"].view()
    view["variance"] *= 0.01  # an event weighs 0.001: the last bin is small, not thinly simulated
    found = RunResult(config, output := Output(config.general), book=book)
    with pytest.raises(FitError, match="limit on signal failed: asymptotic formulas say nothing"):
        infer_signals(found, IterativeExecutor, Silent())
    kept = load_results(output.statistics_dir)["signal"]
    assert kept.limits is None
    assert kept.fit is not None
    assert kept.fit.scanned.keys() == found.results["signal"].fit.scanned.keys()
    names = {stem.name for stem, _ in fit_figures({"signal": kept}, Path(), look_of(config, book))}
    assert "pulls" in names
    assert "limit" not in names
    assert (output.statistics_dir / "datacards" / "signal.txt").exists()


def test_the_calculator_number_and_seed_of_toys_are_those_of_the_configuration(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    thin = {name: {"nominal": [0.0, 1.0, 0.0]} for name in ("signal", "data")}
    book = make_book({**thin, "ttbar": {"nominal": [0.0, 0.5, 0.0]}})

    def observed(**statistics: Any) -> tuple[float, int]:
        config = make_config(("signal", "ttbar", "data"), **statistics)
        limit = found_by(IterativeExecutor(), config, book).results["signal"].limits
        assert limit is not None
        return limit.observed, limit.n_toys

    formulas = observed()
    toys = observed(calculator="auto", n_toys=20)
    assert (formulas[1], toys[1]) == (0, 20)
    assert observed(calculator="toys", n_toys=20, toy_seed=2) != toys
    assert observed(calculator="toys", n_toys=20) == toys


def test_a_signal_without_events_is_left_out_and_reported(
    make_config: MakeConfig,
    make_book: MakeBook,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = make_book(contents(SIGNAL_REGION, weakest=0.0))
    config = make_config(tuple(contents(SIGNAL_REGION)), masses_gev=MASSES)
    found = found_by(IterativeExecutor(), config, book)
    assert list(found.results) == ["zprime_m1000", "zprime_m2000"]
    assert "zprime_m3000 has no events in any fitted channel: no fit, no limit" in caplog.text
    report = json.loads((tmp_path / "out" / "statistics" / "templates.json").read_text())
    (left_out,) = (one for one in report if one["action"] == "left out")
    assert (left_out["sample"], left_out["region"]) == ("zprime_m3000", "sr")


def test_only_signals_without_events_are_an_error(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    signal = {"nominal": [0.0, 0.0, 0.0]}
    config, book = make_config(), make_book({**SIGNAL_REGION, "signal": signal})
    with pytest.raises(FitError, match="the signal has no events in any fitted channel"):
        found_by(IterativeExecutor(), config, book)


def test_each_family_of_signals_has_its_figures(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book(contents(SIGNAL_REGION))
    config = make_config(tuple(contents(SIGNAL_REGION)), masses_gev=MASSES)
    found = found_by(IterativeExecutor(), config, book)
    planned = dict(fit_figures(found.results, tmp_path, look_of(config, book)))
    names = {stem.relative_to(tmp_path).as_posix() for stem in planned}
    assert {"limits_by_mass", "p_values_by_mass", "templates_sr"} < names
    assert {f"{name}/goodness_of_fit" for name in MASSES} < names
    for name in ("templates_sr", "zprime_m1000/goodness_of_fit", "limits_by_mass"):
        figure, _ = planned[tmp_path / name]()
        assert figure.axes


def test_a_fit_without_data_has_no_figure_of_its_goodness(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book(SIGNAL_REGION)
    config = make_config(tuple(SIGNAL_REGION), blind=["sr"])
    found = found_by(IterativeExecutor(), config, book)
    planned = dict(fit_figures(found.results, tmp_path, look_of(config, book)))
    names = {stem.name for stem in planned}
    assert {"pulls", "limit"} < names
    assert "goodness_of_fit" not in names

"""Bad input: each step ends with an answer or with one clear line, and takes nothing with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.errors import FitError
from intccms.histograms import Book
from intccms.statistics import (
    Toys,
    Workspace,
    build_workspaces,
    fit,
    infer,
    limits,
    ranking,
    significance,
    toy_goodness_of_fit,
    toy_limits,
    toy_significance,
    write,
)
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig

FEW_TOYS = Toys(20)
N_MANY = 300


def changed(process: str, **variations: list[float]) -> dict[str, dict[str, list[float]]]:
    return {**SIGNAL_REGION, process: {**SIGNAL_REGION[process], **variations}}


def nominal(process: str, values: list[float]) -> dict[str, dict[str, list[float]]]:
    return {**SIGNAL_REGION, process: {"nominal": values}}


def many_sources() -> dict[str, dict[str, list[float]]]:
    """Return 300 sources of 1 % on two processes, at random in each bin."""
    random = np.random.default_rng(3)
    contents = {**SIGNAL_REGION}
    for process in ("ttbar", "wjets"):
        bins = np.asarray(SIGNAL_REGION[process]["nominal"])
        varied = {"nominal": bins.tolist()}
        for number in range(N_MANY):
            change = bins * random.normal(0.0, 0.01, bins.size)
            varied[f"s{number}_up"] = (bins + change).tolist()
            varied[f"s{number}_down"] = (bins - change).tolist()
        contents[process] = varied
    return contents


ALL_EMPTY = {name: {"nominal": [0.0] * 3} for name in ("ttbar", "wjets")}
BINS = SIGNAL_REGION["ttbar"]["nominal"]
# contents of the signal region, of the control region, and what the error says if there is one
INPUTS: dict[str, tuple[Any, Any, str | None]] = {
    "no background in one channel": ({**SIGNAL_REGION, **ALL_EMPTY}, CONTROL_REGION, "background"),
    "one empty background": (nominal("wjets", [0.0] * 3), CONTROL_REGION, None),
    "an empty bin": (nominal("ttbar", [80.0, 0.0, 0.0]), CONTROL_REGION, None),
    "no data": (nominal("data", [0.0] * 3), nominal("data", [0.0] * 3), None),
    "no signal": (nominal("signal", [0.0] * 3), CONTROL_REGION, "signal has no events"),
    "signal in one channel only": (SIGNAL_REGION, CONTROL_REGION, None),
    "negative signal": (nominal("signal", [-1.0, -6.0, -3.0]), None, "has no events|no signal has"),
    "weights not a number": (nominal("wjets", [20.0, math.nan, 5.0]), None, "not a number"),
    "signal not a number": (nominal("signal", [1.0, math.nan, 3.0]), None, "not a number"),
    "data not a number": (nominal("data", [math.nan, 50.0, 17.0]), None, "not a number"),
    "negative data": (nominal("data", [103.0, -5.0, 17.0]), None, "are below 0"),
    "a signal with a negative bin": (nominal("signal", [1.0, -6.0, 30.0]), CONTROL_REGION, None),
    "infinite weights": (nominal("ttbar", [math.inf, 40.0, 10.0]), None, "not a number"),
    "variation not a number": (changed("ttbar", jes_up=[math.nan] * 3), None, "not a number"),
    "a variation without events": (changed("ttbar", jes_down=[0.0] * 3), CONTROL_REGION, None),
    "a source that empties a bin, up and down": (
        changed("ttbar", jes_up=[88.0, 42.0, 0.0], jes_down=[72.0, 38.0, 0.0]), CONTROL_REGION, None
    ),
    "a source of a process without events": (
        {**SIGNAL_REGION, "wjets": dict.fromkeys(SIGNAL_REGION["wjets"], [0.0] * 3)},
        CONTROL_REGION, None,
    ),
    "a source that moves nothing": (
        changed("ttbar", pileup_up=BINS, pileup_down=BINS), None, None
    ),
    "300 sources": (many_sources(), None, None),
}  # fmt: skip


def p_value_of_toys(workspace: Workspace) -> Any:
    found = toy_significance(workspace, FEW_TOYS)
    if not any(sum(one["data"]) for one in workspace.spec["observations"]):
        with pytest.raises(FitError, match="none of 20 toys without signal is like the data"):
            toy_limits(workspace, FEW_TOYS)
    elif len(workspace.systematics("sr")) < N_MANY:  # else half a minute
        assert np.isfinite(toy_limits(workspace, FEW_TOYS).observed)
    return found.observed_p_value


STEPS: dict[str, Callable[[Workspace], Any]] = {
    "fit": lambda workspace: fit(workspace).mu,
    "limits": lambda workspace: limits(workspace).expected[2],
    "significance": lambda workspace: significance(workspace).observed_p_value,
    "goodness of fit": lambda workspace: (
        toy_goodness_of_fit(workspace, fit(workspace), FEW_TOYS).results.goodness_of_fit
    ),
    "ranking": lambda workspace: ranking(workspace, fit(workspace), n_parameters=3).postfit_up,
    "toys": p_value_of_toys,
}


@pytest.fixture(params=INPUTS)
def case(request: pytest.FixtureRequest, make_book: MakeBook) -> tuple[Book, str | None]:
    sr, cr, line = INPUTS[request.param]
    return make_book(sr, cr), line


@pytest.mark.parametrize("step", [*STEPS, "datacards"])
def test_each_step_has_an_answer_or_one_line(
    case: tuple[Book, str | None], make_config: MakeConfig, tmp_path: Path, step: str
) -> None:
    book, line = case
    config = make_config(pruning=False)  # sources that move nothing stay
    if line is not None:
        with pytest.raises(FitError, match=line) as caught:
            build_workspaces(config, book)
        assert "\n" not in str(caught.value)
        return
    (workspace,) = build_workspaces(config, book)
    if step == "datacards":
        (result,) = [infer(workspace, n_ranked=1)]
        written = {path.name for path in write([result], tmp_path)}
        assert {"fit.json", "limits.json", "signal.txt"} <= written
        assert json.loads((tmp_path / "fit.json").read_text())["signal"]["parameters"]
    else:
        assert np.isfinite(STEPS[step](workspace)).all()

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from intccms.errors import InputError
from intccms.histograms.sums import CutStep
from intccms.plots import Look, cutflow
from intccms.schema import Plotting

FLOW = {
    "sr": {
        "ttbar": [CutStep("all", 1000, 2000.5), CutStep("one muon", 100, 150.25)],
        "data": [
            CutStep("all", 3000, 3000.0),
            CutStep("lumi mask", 2000, 2000.0),
            CutStep("one muon", 0, 0.0),
        ],
    }
}
LOOK = Look(plotting=Plotting(process_labels={"ttbar": "top"}))


def test_steps_are_drawn_from_top_to_bottom() -> None:
    _, ax = cutflow.plot(FLOW, "sr", look=LOOK)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "lumi mask", "one muon"]
    assert ax.yaxis_inverted()
    assert ax.get_xscale() == "log"


def test_a_channel_is_called_by_its_label() -> None:
    look = Look(plotting=Plotting(channel_labels={"sr": "Signal region"}))
    _, ax = cutflow.plot(FLOW, "sr", look=look)
    assert ax.get_xlabel() == "Events, Signal region"


def test_yields_are_those_of_the_cutflow() -> None:
    _, ax = cutflow.plot(FLOW, "sr", look=LOOK)
    drawn = {p.get_label(): p.get_data().values for p in ax.patches if isinstance(p, StepPatch)}
    assert list(drawn["top"]) == [2000.5, 2000.5, 150.25]  # simulation has no lumi mask to fail
    assert drawn["data"] == pytest.approx([3000.0, 2000.0, np.nan], nan_ok=True)


def test_axes_of_ones_own_are_used() -> None:
    figure, ax = cutflow.plot(FLOW, "sr")
    assert cutflow.plot(FLOW, "sr", ax=ax) == (figure, ax)


def test_unknown_channel_is_refused() -> None:
    with pytest.raises(InputError, match="'cr'"):
        cutflow.plot(FLOW, "cr")


def test_without_a_yield_the_axis_is_plain() -> None:
    nothing = {"sr": {"ttbar": [CutStep("all", 0, 0.0)], "data": [CutStep("all", 0, 0.0)]}}
    figure, ax = cutflow.plot(nothing, "sr")
    figure.canvas.draw()
    assert ax.get_xscale() == "linear"

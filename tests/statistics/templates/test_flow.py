"""What lies outside of the edges of a fitted observable is folded in, or lost by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms.histograms import Book
from intccms.schema import Config, load_config
from intccms.statistics import build_workspace
from tests.statistics.test_thin import EDGES, PROCESSES, book

INSIDE = [40.0, 30.0, 20.0, 20.0, 20.0, 20.0]


def configuration(out: Path, flow: str | None = None, **statistics: Any) -> Config:
    observable: dict[str, Any] = {
        "name": "mass", "binning": EDGES, "function": abs, "use": [("m", "m")], "flow": flow
    }  # fmt: skip
    datasets = [
        {"name": one, "directories": (one,), "cross_sections": 1.0, "is_data": one == "data"}
        for one in PROCESSES
    ]
    return load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "w", "output_dir": str(out)},
            "datasets": {"datasets": datasets},
            "channels": [{"name": "sr", "fit_observable": "mass", "observables": [observable]}],
            "statistics": statistics,
        }
    )


@pytest.fixture
def overflowing() -> Book:
    """60 % of the signal, 2 % of the background below and 0.5 % above, some data."""
    errors = [0.1] * 6
    result = book(([1.0] * 6, INSIDE, [30.0] * 6), (errors, errors, errors))
    view: Any = result.histograms["sr", "mass"].view(flow=True)
    view["value"][-1, :, 0] = 9.0, 0.75, 5.0
    view["value"][0, :, 0] = 0.0, 3.0, 2.0
    view["variance"][-1, :, 0] = 0.5, 0.25, 5.0
    return result


def fitted(config: Config, templates: Book) -> tuple[dict[str, list[float]], list[str]]:
    workspace = build_workspace(config, templates, "signal")
    (channel,) = workspace.spec["channels"]
    contents = {one["name"]: one["data"] for one in channel["samples"]}
    contents["data"] = workspace.spec["observations"][0]["data"]
    return contents, [note for note in workspace.notes if "outside" in note]


def test_the_fit_has_as_many_events_as_the_yields(overflowing: Book, tmp_path: Path) -> None:
    contents, notes = fitted(configuration(tmp_path), overflowing)
    assert contents == {
        "signal": [1.0, 1.0, 1.0, 1.0, 1.0, 10.0],
        "ttbar": [43.0, 30.0, 20.0, 20.0, 20.0, 20.75],
        "data": [32.0, 30.0, 30.0, 30.0, 30.0, 35.0],
    }
    yields = {name: one.value for name, one in overflowing.yields("sr").items()}
    assert {name: sum(values) for name, values in contents.items()} == yields
    assert notes == [
        "sr, signal: outside of the edges are 0 % below 0 and 60 % above 12, in the first and "
        "last bin",
        "sr, ttbar: outside of the edges are 1.95 % below 0 and 0.488 % above 12, in the first "
        "and last bin",
    ]


def test_what_is_dropped_is_named(
    overflowing: Book, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contents, notes = fitted(configuration(tmp_path, "drop"), overflowing)
    assert contents["signal"] == [1.0] * 6
    assert contents["data"] == [30.0] * 6
    assert notes[0] == (
        "sr, signal: outside of the edges are 0 % below 0 and 60 % above 12, not in the fit"
    )
    assert notes[0] in caplog.messages


def test_data_beyond_the_edges_are_as_blind_as_the_range_they_are_in(
    overflowing: Book, tmp_path: Path
) -> None:
    config = configuration(tmp_path, blind={"sr": (12.0, 99.0)})
    contents, _ = fitted(config, overflowing)
    assert contents["data"] == [32.0, 30.0, 30.0, 30.0, 30.0, 20.75]
    config = configuration(tmp_path, "drop", blind={"sr": (12.0, 99.0)})
    assert fitted(config, overflowing)[0]["data"] == [30.0] * 6


def test_a_signal_that_lies_outside_altogether_is_fitted(overflowing: Book, tmp_path: Path) -> None:
    overflowing.histograms["sr", "mass"].view()["value"][:, 0, 0] = 0.0
    contents, _ = fitted(configuration(tmp_path), overflowing)
    assert contents["signal"] == [0.0, 0.0, 0.0, 0.0, 0.0, 9.0]


def test_only_what_is_fitted_is_folded_unless_it_is_asked_for() -> None:
    def observable(name: str, **more: str) -> dict[str, Any]:
        return {"name": name, "binning": "0,1,2", "function": abs, "use": [("m", "m")], **more}

    channels = [
        {
            "name": "sr",
            "fit_observable": "mass",
            "observables": [observable("mass"), observable("pt"), observable("ht", flow="fold")],
        },
        {"name": "cr", "observables": [observable("mass")]},
    ]
    config = load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "w"},
            "datasets": {"datasets": [{"name": "a", "directories": "a/", "cross_sections": 1.0}]},
            "channels": channels,
        }
    )
    assert config.folded == {("sr", "mass"), ("sr", "ht")}

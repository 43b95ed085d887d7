from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.analysis.runner import run
from intccms.schema import load_config
from tests.engine import configuration as cc


def skim_on_jets(jets: ak.Array) -> ak.Array:
    return ak.any(jets.pt > 50, axis=1)


def noisy(pt: ak.Array) -> ak.Array:
    return ak.unflatten(np.random.normal(1.0, 0.1, ak.sum(ak.num(pt))), ak.num(pt))  # noqa: NPY002


def config(inputs: Path, out: Path) -> dict[str, Any]:
    return cc.make_config(
        base_dir=str(inputs), output_dir=str(out), executor="iterative", processes=["ttbar"]
    )


def test_a_skim_that_reads_what_is_varied_is_named(
    inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = config(inputs, tmp_path)
    raw["preprocess"]["skimming"] |= {"function": skim_on_jets, "use": [("Jet", None)]}
    with caplog.at_level(logging.WARNING):
        run(load_config(raw))
    assert "the skim reads what 'jes0' moves" in caplog.text


def test_a_skim_that_reads_the_met_is_moved_by_jets_that_are_carried_into_it(
    inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = config(inputs, tmp_path)
    raw["corrections"][0]["propagate_to"] = "PuppiMET"
    with caplog.at_level(logging.WARNING):
        run(load_config(raw))
    assert "the skim reads what 'jes26' moves" in caplog.text
    assert "'muon_id'" not in caplog.text


def test_random_numbers_are_announced(
    inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = config(inputs, tmp_path)
    raw["corrections"] = []
    raw["systematics"] = [
        {
            "name": "noise",
            "type": "object",
            "target": ("Jet", "pt"),
            "use": [("Jet", "pt")],
            "up_function": noisy,
            "symmetrise": True,
        }
    ]
    with caplog.at_level(logging.WARNING):
        run(load_config(raw))
    assert "draw random numbers in ttbar" in caplog.text


def test_nothing_is_said_without_a_reason(
    inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run(load_config(config(inputs, tmp_path)))
    assert caplog.text == ""

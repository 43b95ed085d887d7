"""Results are stored under what decides them; the files of corrections count by content."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest

from intccms.engine.keys import dataset_digests
from intccms.engine.processor import AnalysisProcessor
from intccms.schema import load_config
from intccms.skimming.writing import selection_fingerprint
from tests.engine import small

JET_PT = ("Jet", "pt")
BY_FUNCTION = {"use_correctionlib": False, "nominal_function": lambda eta, pt: 1.0 + 0 * pt}


def digest(path: Path, **more: Any) -> str | None:
    correction = {
        "name": "jec",
        "type": "object",
        "file": str(path),
        "args": [("Jet", "eta"), JET_PT],
        "target": JET_PT,
        "uncertainty_sources": [{"name": "jes", "key": "jes0", "is_delta": True}],
        **more,
    }
    return dataset_digests(small.processor(small.config(corrections=[correction])))["mc"]


@pytest.mark.parametrize("nominal", [{}, BY_FUNCTION], ids=["no nominal", "by a function"])
def test_the_file_of_a_source_counts_by_content(
    inputs: Path, tmp_path: Path, nominal: dict[str, Any]
) -> None:
    path = shutil.copy(inputs / "corrections.json", tmp_path / "one.json")
    before, elsewhere = digest(path, **nominal), tmp_path / "two.json"
    shutil.copy(path, elsewhere)
    assert digest(elsewhere, **nominal) == before
    path.write_text(path.read_text().replace('"jes1"', '"other"'))
    assert digest(path, **nominal) not in (None, before)


def test_where_momenta_go_and_their_order_count(inputs: Path) -> None:
    path = inputs / "corrections.json"
    kinds = ({}, {"propagate_to": "MET"}, {"propagate_to": "PuppiMET"}, {"resort": True})
    found = [digest(path, **kind) for kind in kinds]
    assert None not in found
    assert len(set(found)) == len(kinds)
    assert digest(path, propagate_to=("MET", "pt")) == found[1]


def a_mixin(factor: float) -> type:
    class Lepton:
        @property
        def scaled(self) -> Any:
            return self.pt * factor  # type: ignore[attr-defined]

    return Lepton


@pytest.fixture
def behavior() -> Iterator[dict[Any, Any]]:
    """What awkward knows, left as it was."""
    before = dict(ak.behavior)
    yield ak.behavior
    ak.behavior.clear()
    ak.behavior.update(before)


def test_behaviours_of_the_user_count(behavior: dict[Any, Any]) -> None:
    def now() -> str | None:
        return dataset_digests(small.processor(small.config()))["mc"]

    before, found = now(), []
    for factor in (1.0, 2.0):
        behavior["Lepton"] = a_mixin(factor)
        found.append(now())
    assert len({before, *found}) == 3
    assert None not in found
    behavior["Lepton"] = a_mixin(2.0)
    assert now() == found[1]


def test_behaviours_of_the_user_are_there_on_workers(few: Path, behavior: dict[Any, Any]) -> None:
    class LeptonArray(ak.Array):
        @property
        def scaled(self) -> Any:
            return self.pt * 2

    behavior["*", "Lepton"] = LeptonArray
    met = small.observable(
        "met", lambda jets: ak.sum(ak.with_name(jets, "Lepton").scaled, axis=1), ("Jet", None)
    )
    configuration = small.config(channels=[small.channel("all", [met])])
    shipped = cloudpickle.dumps(small.processor(configuration))
    del behavior["*", "Lepton"]
    sums = cloudpickle.loads(shipped).process(small.chunk(few))
    events = small.load([few])
    expected = small.filled(2 * ak.sum(events.Jet.pt, axis=1), events.genWeight)
    small.same(small.templates(sums)["nominal"], expected)


def test_files_in_arguments_of_the_skim_selection_count_by_content(tmp_path: Path) -> None:
    def fingerprint_of(path: Path) -> str:
        selection = {
            "function": lambda pt, *, file: pt > 0,
            "use": [("PuppiMET", "pt")],
            "static_kwargs": {"file": str(path)},
        }
        return selection_fingerprint(load_config(small.config(preprocess={"skimming": selection})))

    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text("1")
    two.write_text("1")
    before = fingerprint_of(one)
    assert fingerprint_of(two) == before
    one.write_text("2")
    assert fingerprint_of(one) != before


def test_one_line_says_of_all_datasets_why_nothing_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng = np.random.default_rng(1)
    met = small.observable("met", lambda pt: pt * rng.normal(), ("PuppiMET", "pt"))
    one = small.processor(small.config(channels=[small.channel("all", [met])]))
    tasks = one.tasks | {"other": replace(one.tasks["mc"], dataset="other")}
    assert dataset_digests(AnalysisProcessor(one.config, tasks)) == {"mc": None, "other": None}
    (line,) = [line for line in caplog.messages if "never kept" in line]
    assert "mc, other" in line
    assert "Generator" in line

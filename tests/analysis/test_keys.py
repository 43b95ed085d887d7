"""Results are stored under what decides them; the files of corrections count by content."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from intccms.analysis.keys import dataset_digests
from tests.analysis import small

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

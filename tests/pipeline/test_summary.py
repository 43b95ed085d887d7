"""Losses and failures are told by the summary, which is written all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from intccms import pipeline
from intccms.errors import FitError, IncompleteError
from tests.pipeline.runs import FEW, NOMINAL_ONLY, configured, copy_of, processed, replace_text


@pytest.fixture
def with_a_bad_file(tiny_sample: Path, tmp_path: Path) -> Path:
    sample = copy_of(tiny_sample, tmp_path / "sample")
    (listing,) = (sample / "example_opendata/datasets/ttbar_semilep").glob("*.txt")
    bad = listing.with_name("bad.root")
    bad.write_bytes(b"this is no ROOT file" * 50)
    replace_text(listing, f"{listing.read_text()}\n{bad.name}\n")
    return sample


def test_a_lost_file_is_named_and_the_rest_is_kept(
    with_a_bad_file: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    config = configured(with_a_bad_file, tmp_path / "out", *FEW, *NOMINAL_ONLY)
    with pytest.raises(IncompleteError, match=r"1 file that could not be opened.*bad\.root"):
        processed(config).finish()
    summary = pipeline.read_summary(tmp_path / "out")
    jsonschema.validate(summary, schema)
    assert summary["status"] == "incomplete"
    (lost,) = summary["lost_chunks"]
    assert lost["entries"] is None
    book = summary["datasets"]["ttbar_semilep"]
    assert (book["planned"]["files"], book["lost"]["files"]) == (2, 1)
    assert book["lost"]["files_of_unknown_size"] == 1
    assert summary["yields"]["CMS_WORKSHOP"]["ttbar_semilep"]["value"] >= 0


def test_a_loss_that_is_allowed_is_no_error(with_a_bad_file: Path, tmp_path: Path) -> None:
    allowed = "general.max_lost_fraction=0.6"
    config = configured(with_a_bad_file, tmp_path / "out", *FEW, *NOMINAL_ONLY, allowed)
    assert processed(config).finish().summary["status"] == "complete"


def test_a_failed_fit_says_why_and_the_histograms_stay(
    tiny_sample: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    # not one of the few events without a lepton is selected
    config = configured(
        tiny_sample,
        tmp_path / "out",
        "general.processes=[ttbar_had,ttbar_semilep,data]",
        "general.run_systematics=False",
        "statistics={signals: [ttbar_had]}",
    )
    with pytest.raises(FitError, match="no events"):
        pipeline.run(config)
    summary = pipeline.read_summary(tmp_path / "out")
    jsonschema.validate(summary, schema)
    assert summary["status"] == "failed"
    assert summary["error"]
    assert (tmp_path / "out/histograms/histograms.root").is_file()
    assert (tmp_path / "out/plots/CMS_WORKSHOP/mtt_chi2.png").is_file()

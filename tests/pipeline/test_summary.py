"""Losses and failures are told by the summary, which is written all the same."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import hist
import jsonschema
import pytest

from intccms import pipeline
from intccms.errors import FitError, IncompleteError
from intccms.metrics.panel import Panel
from intccms.metrics.progress import PlainProgress
from intccms.metrics.tables import describe
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


def test_a_loss_that_is_allowed_is_called_so(
    with_a_bad_file: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    allowed = "general.max_lost_fraction=0.6"
    config = configured(with_a_bad_file, tmp_path / "out", *FEW, *NOMINAL_ONLY, allowed)
    summary = processed(config).finish().summary
    jsonschema.validate(summary, schema)
    assert summary["status"] == "complete"
    assert summary["tolerated_loss"] == {"fraction": 0.5, "allowed": 0.6}
    text = describe(summary, tmp_path / "out")
    assert "files planned / processed / lost: 4 / 3 / 1\n" in text
    assert "events planned / processed / lost: 6,000 + ? / 6,000 / ?\n" in text
    assert text.endswith(
        "Status: complete within the tolerance of general.max_lost_fraction=0.6: lost 1 file that "
        "could not be opened (1 of 4 files, wholly or in part)"
    )


def test_the_panel_counts_files_that_never_opened(with_a_bad_file: Path, tmp_path: Path) -> None:
    allowed = "general.max_lost_fraction=0.6"
    config = configured(with_a_bad_file, tmp_path / "out", *FEW, *NOMINAL_ONLY, allowed)
    lines = io.StringIO()
    panel = Panel(inner=PlainProgress(stream=lines))
    with pipeline.Stages(config, observer=panel) as stages:
        stages.count_files()
        stages.process()
    numbers = dict(panel.table().rows)
    assert numbers["failed"] == "0 + 1 file"
    assert sum(panel.state.chunks.values()) == panel.state.n_chunks
    assert "processing  6,000/6,000 events  100 %" in lines.getvalue()
    assert lines.getvalue().rstrip().endswith("failed 1")
    receipts = (tmp_path / "out").glob("metrics/*/receipts.jsonl")
    assert all("bad.root" not in path.read_text() for path in receipts)


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


def test_what_lies_outside_is_named_without_a_fit(
    tiny_sample: Path,
    tmp_path: Path,
    schema: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    narrow = "channels.CMS_WORKSHOP.observables.workshop_mtt.binning='500,1000,5'"
    config = configured(tiny_sample, tmp_path / "out", *FEW, *NOMINAL_ONLY, narrow)
    result = pipeline.run(config)
    summary = pipeline.read_summary(tmp_path / "out")
    jsonschema.validate(summary, schema)
    assert result.book is not None
    where = ("CMS_WORKSHOP", "workshop_mtt")
    counts = result.book.histograms[where][:, hist.loc("signal"), hist.loc("nominal")]
    values = counts.values(flow=True)
    found = summary["outside"][where[0]][where[1]]["signal"]
    assert found["below"] == pytest.approx(values[0] / values.sum())
    assert found["above"] == pytest.approx(values[-1] / values.sum())
    assert found["above"] > 0.5
    below, above = (f"{100 * found[side]:.3g} %" for side in ("below", "above"))
    told = f"outside of the edges are {below} below and {above} above"
    assert f"CMS_WORKSHOP, workshop_mtt, signal: {told}" in caplog.messages

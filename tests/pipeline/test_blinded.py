"""Blinded data are in no file: whatever they are, a run writes the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.histograms import storage
from intccms.pipeline import Stages
from intccms.pipeline.figures import Group
from tests.pipeline.runs import FEW, NOMINAL_ONLY, configured, processed

CHANNEL, OBSERVABLE = "CMS_WORKSHOP", "workshop_mtt"
LOW, HIGH = 1000.0, 1800.0
BINS = f"channels.{CHANNEL}.observables.{OBSERVABLE}.binning='200,3000,7'"  # a bin costs fits
# Histograms hold all data, for the day on which they are looked at; all else must not.
HOLD_DATA = ("histograms/", "partials/", "statistics/results.dat", ".root")


@pytest.fixture(scope="module")
def filled(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a run without fit and figures."""
    out = tmp_path_factory.mktemp("filled") / "out"
    processed(
        configured(tiny_sample, out, *FEW, *NOMINAL_ONLY, BINS, "statistics.blind=[CMS_WORKSHOP]")
    )
    return out


def change_data(out: Path, low: float, high: float) -> None:
    """Double the data of a channel where the fit observable is in a range, and add some."""
    book, made_with = storage.load_with_origin(out / "histograms")
    for (channel, observable), histogram in book.histograms.items():
        edges = histogram.axes[0].edges
        inside = (edges[1:] > low) & (edges[:-1] < high)
        everywhere = np.isinf(low) or observable != OBSERVABLE
        chosen = np.concatenate([[everywhere], inside | everywhere, [everywhere]])
        view: Any = histogram.view(flow=True)
        row = list(histogram.axes["process"]).index("data")
        assert channel == CHANNEL
        view["value"][chosen, row, 0] = 2 * view["value"][chosen, row, 0] + 7
        view["variance"][chosen, row, 0] = view["value"][chosen, row, 0]
    storage.save(book, out / "histograms", made_with)


def written(out: Path, blind: str, *groups: Group) -> dict[str, bytes]:
    """Fit and draw from the saved histograms; all files that were written."""
    config = configured(
        Path("/nowhere"), out, *FEW, BINS, "general.run_systematics=False",
        "general.run_processor=False", f"statistics.blind={blind}",
        "statistics.rebin=null",  # a merged bin is blinded where one of its bins is
    )  # fmt: skip
    with Stages(config) as stages:
        stages.process()
        assert stages.infer()["signal"].limits.is_blinded
        stages.draw(*groups)
        stages.finish()
    names = {
        path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()
    }
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not any(part in name for part in HOLD_DATA)
    }


@pytest.mark.parametrize(
    ("blind", "hidden"),
    [("[CMS_WORKSHOP]", (-np.inf, np.inf)), (f"{{CMS_WORKSHOP: [{LOW}, {HIGH}]}}", (LOW, HIGH))],
    ids=["channel", "range"],
)
def test_no_file_depends_on_blinded_data(
    filled: Path, tmp_path: Path, blind: str, hidden: tuple[float, float]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(filled, out)
    before = written(out, blind)
    change_data(out, *hidden)
    after = written(out, blind)
    assert [name for name, content in after.items() if before[name] != content] == []
    assert set(after) == set(before)
    kinds = {Path(name).suffix for name in after}
    assert {".json", ".yaml", ".yml", ".txt", ".png", ".pdf"} <= kinds
    assert any(name.startswith("plots/") for name in after)
    assert any(name.startswith("statistics/hepdata/") for name in after)


def test_data_outside_of_a_blinded_range_are_seen(filled: Path, tmp_path: Path) -> None:
    """The comparison above would notice."""
    out = tmp_path / "out"
    shutil.copytree(filled, out)
    blind = f"{{CMS_WORKSHOP: [{LOW}, {HIGH}]}}"
    before = written(out, blind, "cutflow")
    change_data(out, 0.0, LOW)
    after = written(out, blind, "cutflow")
    differ = {name for name, content in after.items() if before[name] != content}
    assert {"statistics/limits.json", "statistics/fit.json"} < differ
    assert "statistics/hepdata/yields_CMS_WORKSHOP.yaml" in differ


def test_receipts_do_not_count_data_that_blinded_channels_keep(filled: Path) -> None:
    (path,) = filled.glob("metrics/*/receipts.jsonl")
    kept: dict[str, int] = {}
    for line in path.read_text().splitlines():
        receipt = json.loads(line)
        kept[receipt["dataset"]] = kept.get(receipt["dataset"], 0) + receipt["n_kept"]
    assert kept["data"] == 0
    assert kept["ttbar_semilep"] > 0

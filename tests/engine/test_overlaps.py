"""Events that two channels keep are counted, and not fitted twice without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.analysis.runner import AnalysisResult, run
from intccms.errors import ConfigError, FitError
from intccms.histograms import load, save
from intccms.schema import Config, load_config
from intccms.statistics import build_workspace, build_workspaces
from tests.engine import small
from tests.engine.conftest import make_events, write_file
from tests.engine.small import channel, function, observable

MET = ("PuppiMET", "pt")
SEEDS = {"signal": 1, "wjets": 2, "data": 3}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name, seed in SEEDS.items():
        write_file(tmp_path / name / "a.root", make_events(300, seed))
    return tmp_path


def loaded(base: Path, *, chunk_size: int = 1000, **statistics: Any) -> Config:
    """Channels above 50, 100 and below 80 GeV, and one that is not fitted."""
    met = observable("met", lambda pt: pt, MET, edges=[0.0, 50.0, 100.0, 150.0])
    cuts = {
        "high": lambda pt: pt > 50,
        "higher": lambda pt: pt > 100,
        "low": lambda pt: pt < 80,
    }
    channels = [channel(name, [met], function(cut, MET)) for name, cut in cuts.items()]
    channels.append({**channel("all", [met]), "fit_observable": None})
    datasets = [
        {"name": name, "directories": f"{name}/", "cross_sections": 2.0, "is_data": name == "data"}
        for name in SEEDS
    ]
    general = {"base_dir": str(base), "output_dir": str(base / "out"), "executor": "iterative"}
    skimming = {"skimming": {"chunk_size": chunk_size}}
    return load_config(
        small.config(
            general=general,
            preprocess=skimming,
            datasets={"datasets": datasets},
            channels=channels,
            statistics=statistics,
        )
    )


def by_hand(name: str) -> dict[tuple[str, str], int]:
    met = np.asarray(make_events(300, SEEDS[name])["PuppiMET_pt"])
    masks = {"high": met > 50, "higher": met > 100, "low": met < 80, "all": met > -1}
    pairs = [("all", "high"), ("all", "higher"), ("all", "low"), ("high", "higher")]
    pairs.append(("high", "low"))
    return {(a, b): int((masks[a] & masks[b]).sum()) for a, b in pairs}


def refused(config: Config, result: AnalysisResult) -> str:
    with pytest.raises(FitError) as caught:
        build_workspace(config, result.histograms, "signal")
    return str(caught.value)


def test_events_in_common_are_counted_for_any_chunks_and_resumed(base: Path) -> None:
    expected = {name: by_hand(name) for name in SEEDS}
    assert all(all(counts.values()) for counts in expected.values())
    for chunk_size in (1000, 1000, 77):
        result = run(loaded(base, chunk_size=chunk_size))
        assert result.histograms.overlaps == expected
        save(result.histograms, base / "saved")
        assert load(base / "saved").overlaps == expected
    assert {one.status for one in run(loaded(base)).reports} == {"resumed"}


def test_a_fit_of_events_twice_is_refused_with_their_number(base: Path) -> None:
    config = loaded(base)
    signal, wjets, data = (by_hand(name)["high", "higher"] for name in SEEDS)
    assert refused(config, run(config)) == (
        f"channels 'high' and 'higher' hold the same events ({signal} of signal, {wjets} of wjets,"
        f" {data} of data), which would count twice in the fit: select them apart, or name the "
        "pair in statistics.allow_overlap"
    )


def test_a_pair_that_is_allowed_is_a_note(base: Path) -> None:
    config = loaded(base, allow_overlap=[("higher", "high")])
    result = run(config)
    assert "'high' and 'low'" in refused(config, result)
    config = loaded(base, allow_overlap=[("higher", "high"), ("high", "low")])
    (workspace,) = build_workspaces(config, result.histograms)
    notes = [note for note in workspace.notes if "twice" in note]
    assert [note.split(" that")[0] for note in notes] == [
        "high: shares events with higher",
        "high: shares events with low",
    ]


def test_channels_that_are_not_fitted_may_overlap(base: Path) -> None:
    config = loaded(base)
    general = config.general.model_copy(update={"channels": ("higher", "low", "all")})
    config = config.model_copy(update={"general": general})
    assert build_workspace(config, run(config).histograms, "signal").notes is not None


def test_of_blinded_data_nothing_is_said(base: Path) -> None:
    config = loaded(base, blind=["higher"])
    text = refused(config, run(config))
    assert "of wjets" in text
    assert "data" not in text


def test_a_pair_names_channels(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"allow_overlap: no channel 'hihg'.*'high'"):
        loaded(base, allow_overlap=[("hihg", "low")])

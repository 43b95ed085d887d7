"""Runs with other cuts on columns that an earlier run has kept, with the real server stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intccms.analysis.runner import AnalysisResult
from intccms.pipeline import Stages
from intccms.reading import source
from intccms.schema import load_config
from tests.faults.analysis import make_config
from tests.faults.conftest import N_FILES
from tests.faults.runs import bits, statuses
from tests.faults.servers import XRootDServer

N_CHUNKS = 5 * N_FILES


def changed(config: dict[str, Any]) -> dict[str, Any]:
    """Another binning, another cut and another correction; the skim selection stays."""
    channel = dict(config["channels"][0])
    binned = [{**one, "binning": "0,400,7"} for one in channel["observables"]]
    channel |= {
        "observables": binned,
        "selection": {"function": lambda met: met.pt > 40, "use": [("MET", None)]},
    }
    jes = {**config["systematics"][0], "up_function": lambda pt: 1.0 + 3.0 / pt}
    return {**config, "channels": [channel], "systematics": [jes]}


def processed(config: dict[str, Any]) -> AnalysisResult:
    with Stages(load_config(config)) as stages:
        stages.count_files()
        stages.process()
    result = stages.result.analysis
    assert result is not None
    return result


@pytest.fixture
def make(remote: Path, server: XRootDServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Configure runs on files behind the server, with one output folder."""

    def configured(**general: Any) -> dict[str, Any]:
        general = {"base_dir": str(remote), "output_dir": str(tmp_path / "out"), **general}
        return make_config([server.redirector], **general)

    return configured


def test_the_next_run_with_other_cuts_needs_no_server(
    make: Callable[..., dict[str, Any]],
    server: XRootDServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "1")
    fresh = processed(changed(make(output_dir=str(tmp_path / "fresh"))))
    assert statuses(fresh) == {"done": N_CHUNKS}
    assert statuses(processed(make())) == {"done": N_CHUNKS}
    server.stop()
    again = processed(changed(make(run_metadata_generation=False)))
    assert statuses(again) == {"cached": N_CHUNKS}
    assert again.ledger.is_complete
    assert bits(again) == bits(fresh)
    assert sum(receipt.bytes_read for receipt in again.reports) == 0
    book, expected = (one.ledger.to_dict()["datasets"] for one in (again, fresh))
    assert book == expected


def test_columns_that_were_not_kept_are_read_from_the_original(
    make: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    def more(config: dict[str, Any]) -> dict[str, Any]:
        channel = dict(config["channels"][0])
        phi = {"name": "phi", "binning": "-4,4,8", "function": lambda phi: phi}
        channel["observables"] = [*channel["observables"], {**phi, "use": [("MET", "phi")]}]
        return {**config, "channels": [channel]}

    fresh = processed(more(make(output_dir=str(tmp_path / "fresh"))))
    processed(make())
    for n_bytes in (1, 0):  # the second time all are there
        out = {"output_dir": str(tmp_path / f"out{n_bytes}")}
        config = more(make(**out, cache_dir=str(tmp_path / "out/partials")))
        for path in (tmp_path / "out/partials").rglob("*.partial"):
            path.unlink()
        again = processed(config)
        assert statuses(again) == {"cached": N_CHUNKS}
        assert bits(again) == bits(fresh)
        assert (sum(receipt.bytes_read for receipt in again.reports) > 0) == bool(n_bytes)


def test_the_columns_of_another_skim_selection_are_not_used(
    make: Callable[..., dict[str, Any]],
) -> None:
    processed(make())
    config = changed(make())
    skimming = config["preprocess"]["skimming"]
    other = {**skimming, "function": lambda met, event: met.pt > 25}
    assert statuses(processed({**config, "preprocess": {"skimming": other}})) == {"done": N_CHUNKS}


def test_the_cache_is_ignored_on_request(make: Callable[..., dict[str, Any]]) -> None:
    processed(make())
    again = processed(changed(make(read_from_cache=False)))
    assert statuses(again) == {"done": N_CHUNKS}


def test_damaged_columns_are_read_again(
    make: Callable[..., dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processed(make())
    fresh = processed(changed(make(output_dir=str(tmp_path / "fresh"))))
    kept = sorted((tmp_path / "out/partials/columns").glob("??/*.feather"))
    assert len(kept) == N_CHUNKS
    kept[0].write_bytes(b"what is this")
    kept[1].write_bytes(kept[1].read_bytes()[:-100])
    again = processed(changed(make()))
    assert statuses(again) == {"done": 2, "cached": N_CHUNKS - 2}
    assert bits(again) == bits(fresh)
    assert caplog.text.count("left out and made again") == 2


def test_columns_of_local_files_are_kept_too(local: Path, tmp_path: Path) -> None:
    own = {"base_dir": str(local), "output_dir": str(tmp_path / "out")}
    processed(make_config(**own, cache_mb=0))
    assert not (tmp_path / "out/partials/columns").exists()
    assert statuses(processed(changed(make_config(**own)))) == {"done": N_CHUNKS}
    assert (tmp_path / "out/partials/columns").is_dir()
    named = {**own, "cache_dir": str(tmp_path / "cache"), "executor": "futures", "n_workers": 2}
    first = processed(make_config(**named))
    assert statuses(first) == {"done": N_CHUNKS}
    again = processed(changed(make_config(**named)))
    assert statuses(again) == {"cached": N_CHUNKS}
    assert again.receipts == again.reports  # the name that scripts know
    expected = processed(changed(make_config(**own, cache_mb=0)))
    assert bits(again) == bits(expected)


def test_later_chunks_of_a_remote_file_take_fewer_requests(
    make: Callable[..., dict[str, Any]],
) -> None:
    source._cache.histories.clear()  # what other tests have taught
    result = processed(make(read_from_cache=False))
    ordered = sorted(result.reports, key=lambda receipt: receipt.started)
    first, later = ordered[0].n_requests, {receipt.n_requests for receipt in ordered[10:]}
    assert max(later) < first

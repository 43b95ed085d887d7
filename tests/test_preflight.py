"""The checks before anything expensive: what is wrong is named, nothing hangs, nothing is left."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from intccms.cli import main
from intccms.preflight import Finding, forecast, preflight
from tests.facility.certificates import make_proxy
from tests.pipeline.runs import FEW, configured


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("X509_USER_PROXY", "BEARER_TOKEN", "BEARER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody listens and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def by_check(found: list[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in found}


def test_all_is_well_and_the_command_says_so(
    tiny_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"general.base_dir={tiny_sample}", f"general.output_dir={tmp_path / 'out'}"]
    status = main(["preflight", "--wait", "150", *settings, *FEW])
    text = capsys.readouterr()
    assert status == 0, text
    for line in ("workers", "versions", "imports", "3 opened, of 3 datasets", "writable"):
        assert line in text.out
    assert "✗" not in text.out
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_named_with_its_remedy_all_at_once(
    tiny_sample: Path, tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X509_USER_PROXY", str(make_proxy(tmp_path / "proxy", hours=-1)))
    listing = tmp_path / "lists"
    listing.mkdir()
    (listing / "0.txt").write_text("/store/one.root\n")
    (tmp_path / "file").touch()
    config = configured(
        tiny_sample,
        tmp_path / "file" / "out",
        "general.processes=[signal,data]",
        "datasets.datasets.signal.redirector="
        + json.dumps(["root://127.0.0.1:1/", f"root://127.0.0.1:{silent}/"]),
        f"datasets.datasets.signal.directories={listing}",
        "datasets.datasets.signal.file_pattern='*.txt'",
    )
    found = preflight(config, wait_s=150)
    wrong = [one for one in found if one.state == "failed"]
    texts = [one.text for one in wrong]
    assert any("root://127.0.0.1:1//store/one.root" in text for text in texts)
    assert any(f"root://127.0.0.1:{silent}//store/one.root" in text for text in texts)
    assert any("file/out" in text or "cannot write" in text for text in texts)
    assert "expired" in by_check(wrong)["X509 proxy"].text
    assert all(one.remedy for one in wrong)


def test_a_facility_that_is_not_there_is_a_finding_and_exit_status_2(
    tiny_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"general.base_dir={tiny_sample}", f"general.output_dir={tmp_path / 'out'}"]
    status = main(["preflight", *settings, "general.facility=tcp://127.0.0.1:1"])
    text = capsys.readouterr()
    assert status == 2
    assert "no Dask scheduler at tcp://127.0.0.1:1" in text.out
    assert "checks failed: workers" in text.err


def test_the_memory_of_histograms_grows_with_bins_and_variations(
    tiny_sample: Path, tmp_path: Path
) -> None:
    all_of_it = forecast(configured(tiny_sample, tmp_path))
    nominal = forecast(configured(tiny_sample, tmp_path, "general.run_systematics=False"))
    assert nominal.keys() == all_of_it.keys()
    assert nominal["data"] == all_of_it["data"]  # data have no variation
    assert all(all_of_it[key] > nominal[key] for key in nominal if key != "data")
    config = configured(tiny_sample, tmp_path)
    n_bins = [len(one.binning) + 1 for c in config.channels for one in c.observables]
    assert nominal["data"] == sum(n_bins) * 2 * 6 * 8

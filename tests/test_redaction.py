"""No credential of a URL is in what is written, logged or shown; the file is opened with it."""

from __future__ import annotations

import json
import logging
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import intccms
from intccms.datasets import DatasetManager
from intccms.datasets.fileset import DatasetFiles, read_listing
from intccms.errors import InputError
from intccms.execution.failures import describe
from intccms.execution.tasks import ChunkReport, ChunkStatus
from intccms.redaction import redacted
from intccms.storage import write_json
from tests.pipeline.runs import NOMINAL_ONLY, configured, copy_of, processed, replace_text

TOKEN = "s3cr3t0123456789"


@pytest.mark.parametrize(
    "url",
    [
        f"root://me:{TOKEN}@host:1094//store/a.root",
        f"https://{TOKEN}abcdef@host/a.root",
        f"root://host//store/a.root?authz=Bearer%20{TOKEN}",
        f"root://host//store/a.root?xrd.wantprot=ztn&authz={TOKEN}",
        f"/store/a.root?authz={TOKEN}&x=1",
        f"https://b.s3.host/a.root?X-Amz-Credential={TOKEN}&X-Amz-Signature={TOKEN}",
        f"https://h/a.root?sv=1&sig={TOKEN}%3D",
        f"https://h/a.root?access_token={TOKEN}",
        f"https://h/a.root?x=eyJhbGciOiJI.{TOKEN}.{TOKEN}",
        f"Authorization: Bearer {TOKEN}",
    ],
)
def test_credentials_are_hidden_once_and_for_all(url: str) -> None:
    hidden = redacted(f"cannot open '{url}': [ERROR] no such file")
    assert TOKEN not in hidden
    assert "<hidden>" in hidden
    assert hidden.startswith("cannot open '")
    assert hidden.endswith("[ERROR] no such file")
    assert redacted(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "root://host:1094//store/a@b.root",
        "https://h/a.root?svcClass=t0&file=b.root#y",
        "no X509 proxy and no bearer token",
        "/store/data/Run2016B/SingleMuon.root",
        "general.max_lost_fraction=0.5 & sort_key=pt",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_name_is_shown_without_and_opened_with_its_credential() -> None:
    url, plain = f"root://h//store/a.root?authz={TOKEN}", "/store/b.root"
    files = DatasetFiles("a", "a", None, False, 1.0, (url, plain), ("root://x/",))
    shown = "root://h//store/a.root?authz=<hidden>"
    assert files.lfns == (shown, plain)
    assert files.pfns(shown) == (url,)
    assert files.pfns(plain) == ("root://x//store/b.root",)
    assert TOKEN not in repr(files)


def test_what_is_written_and_said_has_no_credential(tmp_path: Path) -> None:
    url = f"root://me:{TOKEN}@h//a.root"
    write_json(tmp_path / "a.json", {url: [url, Path("/x")]})
    assert TOKEN not in (tmp_path / "a.json").read_text()
    receipt = ChunkReport(
        "a", url, "u", 0, 1, ChunkStatus.FAILED, error=f"no {url}", redirector=url
    )
    assert TOKEN not in json.dumps(receipt.to_dict())
    assert TOKEN not in str(InputError(f"no {url}"))
    assert TOKEN not in describe(OSError(f"no {url}"))


def test_logs_have_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    intccms.set_logging()
    logging.getLogger("intccms.any").warning("no %s", f"root://me:{TOKEN}@h//a.root")
    assert stream.getvalue() == "WARNING intccms.any: no root://me:<hidden>@h//a.root\n"


def test_a_listing_of_what_was_saved_wants_its_credentials_back(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("root://h//store/a.root?authz=<hidden>\n")
    with pytest.raises(InputError, match="put that of the URL in the place of <hidden>"):
        read_listing(tmp_path / "0.txt")


def listing_of_data(sample: Path) -> Path:
    (listing,) = (sample / "example_opendata/datasets/data").rglob("*.txt")
    return listing


def test_a_url_that_is_listed_with_two_tokens_is_read_once(
    tiny_sample: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sample = copy_of(tiny_sample, tmp_path / "sample")
    urls = [f"root://h//store/a.root?authz={token}" for token in (TOKEN, TOKEN[::-1])]
    replace_text(listing_of_data(sample), "\n".join(urls))
    (files,) = DatasetManager(configured(sample, tmp_path / "out")).fileset(["data"])
    assert (len(files.lfns), files.n_listed) == (1, 1)
    assert "a.root?authz=<hidden> is listed twice" in caplog.text
    assert TOKEN not in caplog.text


@pytest.fixture
def remote(tiny_sample: Path, tmp_path: Path, xrootd_server: Any) -> Path:
    """A sample whose data are behind a server, listed with a token; one file is not there."""
    sample = copy_of(tiny_sample, tmp_path / "sample")
    listing = listing_of_data(sample)
    (data,) = listing.parent.glob("*.root")
    folder = xrootd_server.directory / "store" / "with_token"
    folder.mkdir(exist_ok=True)
    shutil.copy(data, folder / "data.root")
    (folder / "data.root").chmod(0o644)
    urls = [
        f"{xrootd_server.redirector}/store/with_token/{name}?authz={TOKEN}"
        for name in ("data.root", "gone.root")
    ]
    replace_text(listing, "\n".join(urls))
    return sample


def test_a_run_leaves_no_credential_behind_and_can_go_on_from_what_it_saved(
    remote: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    settings = ("general.processes=[data]", *NOMINAL_ONLY, "general.max_lost_fraction=0.6",
                f"general.cache_dir={out / 'cache'}")  # fmt: skip
    for more in ((), ("general.run_metadata_generation=False",)):
        shutil.rmtree(out / "cache", ignore_errors=True)
        stages = processed(configured(remote, out, *settings, *more))
        stages.finish()
        assert stages.result.ledger.n_processed == 2000
        (lost,) = stages.result.ledger.lost_chunks
        assert lost.file.endswith("gone.root?authz=<hidden>")
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in caplog.text

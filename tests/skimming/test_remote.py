"""The same on a real XRootD and a real S3 server, only the place differs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from intccms.errors import InputError, SkimWriteError
from intccms.schema import WorkerEval
from intccms.skimming import SkimColumns, SkimStore
from tests.conftest import XRootDServer
from tests.skimming.conftest import (
    KEY,
    S3Server,
    part,
    read_back,
    store_at,
    three_chunks,
    values_of,
)

FORMATS = ["parquet", "ttree", "rntuple"]
EVERYTHING = SkimColumns()


def s3_store(s3: S3Server, folder: str, kind: str = "parquet", **changes: str) -> SkimStore:
    options = {"storage_options": s3.options(**changes)}
    place = f"s3://{s3.bucket}/{folder}"
    return store_at(place, kind, to_kwargs=options, from_kwargs=options)


@pytest.fixture(params=["root", "s3"])
def place(request: pytest.FixtureRequest) -> Any:
    """Make a store in a folder of its own on one of the servers."""
    if request.param == "root":
        server = request.getfixturevalue("xrootd_server")
        return lambda folder, kind: store_at(f"{server.redirector}/store/{folder}", kind)
    s3 = request.getfixturevalue("s3_server")
    return lambda folder, kind: s3_store(s3, folder, kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_remote_skim_is_that_of_a_local_disk(
    place: Any, tmp_path: Path, events: Any, kind: str
) -> None:
    store = place(f"round-trip/{kind}", kind)
    store.probe()
    local, remote = three_chunks(store_at(tmp_path, kind), events), three_chunks(store, events)
    manifest = store.save(remote)
    assert store.load("ttbar_2017") == manifest
    assert [one.path for one in remote] == [one.path for one in local]
    for one, other in zip(local, remote, strict=True):
        assert store.holds(other)
        if one.path:
            back = read_back(store_at(tmp_path, kind), one)
            assert values_of(read_back(store, other)) == values_of(back)


def test_a_remote_manifest_is_made_again_and_parts_are_put_together(
    place: Any, events: Any
) -> None:
    store = place("again", "ttree")
    manifest = store.save(store.coalesce(three_chunks(store, events), 1000))
    files = store._files.storage
    assert set(files.sizes("ttbar_2017")) == {
        "ttbar_2017/file_2/part_0.root",
        "ttbar_2017/file_2/part_1.empty",
        "ttbar_2017/manifest.json",
    }
    files.remove("ttbar_2017/manifest.json")
    assert store.load("ttbar_2017") == manifest


def test_a_remote_part_is_overwritten_by_a_retry(place: Any, kept: Any, events: Any) -> None:
    store = place("retry", "rntuple")
    store.write(kept, EVERYTHING, part())
    written = store.write(events, EVERYTHING, part())
    assert store.holds(written)
    assert len(read_back(store, written)) == len(events)
    assert list(store._files.storage.sizes("")) == [written.path]


def test_a_part_of_many_pieces_is_uploaded_as_one(s3_server: S3Server, tmp_path: Path) -> None:
    storage = s3_store(s3_server, "large")._files.storage
    content = os.urandom(1 << 20) * 120  # above s3fs's bound for one request
    storage.write("x.bin", content)
    assert storage.sizes("") == {"x.bin": len(content)}
    assert storage.read("x.bin") == content


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"key": f"{KEY}-ro"}, "PermissionError"), ({"secret": "wrong"}, "PermissionError")],
    ids=["a key that may only read", "a wrong secret"],
)
def test_what_the_server_refuses_is_told_in_one_line(
    s3_server: S3Server, kept: Any, changes: dict[str, str], reason: str
) -> None:
    store = s3_store(s3_server, "refused", **changes)
    with pytest.raises(InputError) as refused:
        store.probe()
    with pytest.raises(SkimWriteError) as failed:
        store.write(kept, EVERYTHING, part())
    for error in (refused, failed):
        assert reason in str(error.value)
        assert f"s3://{s3_server.bucket}/refused" in str(error.value)
        assert "\n" not in str(error.value)
    assert s3_store(s3_server, "refused")._files.storage.sizes("") == {}


def test_a_bucket_that_does_not_exist_is_told(s3_server: S3Server, kept: Any) -> None:
    store = store_at(
        "s3://no-such-bucket/skims",
        to_kwargs={"storage_options": s3_server.options(key=f"{KEY}-rw")},
    )
    with pytest.raises(InputError, match="s3://no-such-bucket/skims"):
        store.probe()
    with pytest.raises(SkimWriteError, match="no-such-bucket"):
        store.write(kept, EVERYTHING, part())


def test_xrootd_says_where_it_lets_nobody_write(xrootd_server: XRootDServer, kept: Any) -> None:
    store = store_at(f"{xrootd_server.redirector}/elsewhere/skims")
    with pytest.raises(InputError, match="elsewhere/skims"):
        store.probe()
    with pytest.raises(SkimWriteError, match="elsewhere/skims"):
        store.write(kept, EVERYTHING, part())


def test_secrets_are_made_where_they_are_used_and_stay_there(
    s3_server: S3Server,
    kept: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = s3_server.options() | {"key": WorkerEval(lambda: os.environ["KIT_KEY"])}
    options["secret"] = WorkerEval(lambda: os.environ["KIT_SECRET"])
    store = store_at(f"s3://{s3_server.bucket}/secret", to_kwargs={"storage_options": options})
    monkeypatch.setenv("KIT_KEY", KEY)
    monkeypatch.setenv("KIT_SECRET", "not the secret of " + KEY)
    with pytest.raises(SkimWriteError) as failed:
        store.write(kept, EVERYTHING, part())
    monkeypatch.setenv("KIT_SECRET", s3_server.options()["secret"])
    written = store.write(kept, EVERYTHING, part())
    manifest = store.save([written])
    sent = cloudpickle.dumps(store)
    shown = f"{failed.value} {caplog.text} {manifest.to_json()} {store.output!r} {sent!r}"
    assert s3_server.options()["secret"] not in shown
    assert "not the secret" not in shown
    assert len(read_back(store, written)) == len(kept)  # the reader takes the writer's

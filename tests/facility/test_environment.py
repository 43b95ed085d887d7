"""``.env``, proxies and tokens: what is read, and what is said of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from intccms import facility
from intccms.errors import InputError
from intccms.facility.credentials import find_credentials, read_dotenv, worker_environment
from intccms.facility.sites import find_facility
from intccms.facility.upload import Upload
from tests.facility.certificates import make_proxy, make_token
from tests.pipeline.runs import configured


def test_a_dotenv_is_read_as_a_shell_would() -> None:
    lines = [
        "# comment",
        "",
        "A=1",
        "export B = two words # and why",
        "C='three # not a comment'",
        'D="four" # four',
        "E=",
        "F=a#b",
    ]
    Path(".env").write_text("\n".join(lines))
    assert read_dotenv(Path(".env")) == {
        "A": "1", "B": "two words", "C": "three # not a comment", "D": "four", "E": "", "F": "a#b",
    }  # fmt: skip


def test_a_line_that_is_none_is_named_by_its_number_only() -> None:
    Path(".env").write_text("A=1\np4ssw0rd\n")
    with pytest.raises(InputError, match="line 2: not of the form") as caught:
        worker_environment()
    assert "p4ssw0rd" not in str(caught.value)


def test_what_is_given_wins_over_dotenv_and_the_users_bounds_over_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XRD_REQUESTTIMEOUT", "7")
    monkeypatch.delenv("XRD_STREAMTIMEOUT", raising=False)
    Path(".env").write_text("A=1\nB=2\n")
    found = worker_environment({"B": "3"})
    assert (found["A"], found["B"]) == ("1", "3")
    assert (found["XRD_REQUESTTIMEOUT"], found["XRD_STREAMTIMEOUT"]) == ("7", "60")


def test_the_end_of_a_proxy_and_of_a_token_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X509_USER_PROXY", str(make_proxy(tmp_path / "proxy", hours=5)))
    (tmp_path / "token").write_text(make_token(hours=3) + "\n")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "token"))
    proxy, token = find_credentials()
    for one, hours in ((proxy, 5), (token, 3)):
        left = one.left()
        assert left is not None
        assert abs(left - timedelta(hours=hours)) < timedelta(minutes=5)
    assert "PRIVATE" not in repr(proxy)
    assert find_credentials(proxy=False, token=False) == []


def test_a_token_at_the_sites_own_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "access_token").write_text("opaque")
    found = find_credentials((str(tmp_path / "access_token"),), proxy=False)
    assert [(one.kind, one.expires) for one in found if "access_token" in one.origin] == [
        ("bearer token", None)
    ]


def test_an_expired_proxy_is_named_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X509_USER_PROXY", str(make_proxy(tmp_path / "proxy", hours=-1)))
    with (
        pytest.raises(InputError, match="X509 proxy .*/proxy expired on .*voms-proxy-init"),
        facility.connect("tcp://127.0.0.1:1"),
    ):
        pass


def test_a_credential_that_is_named_but_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BEARER_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(InputError, match="cannot read the bearer token /nowhere/token"):
        find_credentials()


def test_input_files_get_the_same_path_on_a_worker_that_lacks_them_until_it_is_left(
    tmp_path: Path,
) -> None:
    (tmp_path / "inputs").mkdir()
    lost, kept = tmp_path / "inputs" / "a.json", tmp_path / "b.json"
    for path in (lost, kept):
        path.write_text("{}")
    setup = Upload(inputs=[lost, kept], proxy=False, token=False).prepare(
        find_facility("tcp://a:1")
    )
    lost.unlink()
    lost.parent.rmdir()  # from here on this is a worker of another host
    kept.write_text("{1: 2}")
    setup.digests.clear()
    worker = SimpleNamespace(local_directory=str(tmp_path))
    setup.setup(worker)
    assert (lost.read_text(), kept.read_text()) == ("{}", "{1: 2}")
    setup.teardown(worker)
    assert (lost.exists(), kept.exists()) == (False, True)


def test_the_correction_files_and_golden_jsons_of_a_configuration_are_found(
    tiny_sample: Path, tmp_path: Path
) -> None:
    found = facility.inputs_of(configured(tiny_sample, tmp_path))
    names = {Path(one).name for one in found}
    assert any(name.startswith("Cert_") for name in names)
    assert len(names) > 3
    assert all(Path(one).is_relative_to(tiny_sample) for one in found)

"""Only pickles that this user has trained, where nobody else can write, are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from intccms.engine import scores
from intccms.engine.scores import check_trusted, trust
from intccms.errors import InputError

CONTENT = b"an estimator"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where digests go; what this process has trained does not count, as if it were another."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(scores, "_trained_here", set())
    return tmp_path / "state"


def saved(folder: Path, content: bytes = CONTENT) -> Path:
    folder.mkdir()
    folder.chmod(0o775)
    path = folder / "model.pkl"
    path.write_bytes(content)
    return path


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_trained_here", set())


def test_what_this_user_has_trained_is_loaded_by_later_processes(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "nn")
    trust(CONTENT, path.parent)
    forget(monkeypatch)
    check_trusted(path, CONTENT)
    assert path.parent.stat().st_mode & 0o022 == 0
    assert state.joinpath("intccms/models").stat().st_mode & 0o777 == 0o700


def test_what_this_user_has_not_trained_is_refused(state: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "nn")
    path.parent.chmod(0o755)
    with pytest.raises(InputError, match=r"this user has not trained it .*ONNX") as caught:
        check_trusted(path, CONTENT)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("where", ["file", "folder", "notes"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_refused(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, mode: int
) -> None:
    path = saved(tmp_path / "nn")
    trust(CONTENT, path.parent)
    forget(monkeypatch)
    opened = {"file": path, "folder": path.parent, "notes": state / "intccms" / "models"}[where]
    opened.chmod(opened.stat().st_mode | mode)
    with pytest.raises(InputError, match=f"others can write to {opened}"):
        check_trusted(path, CONTENT)


def test_without_a_home_a_model_serves_the_process_that_trained_it(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state.write_text("a file, not a directory")
    path = saved(tmp_path / "nn")
    trust(CONTENT, path.parent)
    assert "later runs will not load the model" in caplog.text
    check_trusted(path, CONTENT)
    forget(monkeypatch)
    with pytest.raises(InputError, match="this user has not trained it|cannot be read"):
        check_trusted(path, CONTENT)

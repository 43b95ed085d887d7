from __future__ import annotations

import pytest

from intccms.datasets import files
from intccms.datasets.files import best_first, note_failure

FIRST, SECOND = "root://first.example//store/a.root", "root://second.example//store/a.root"


@pytest.fixture(autouse=True)
def _nothing_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_failed_at", {})


def test_places_are_tried_as_given() -> None:
    assert best_first((SECOND, FIRST)) == (SECOND, FIRST)


def test_a_server_that_failed_is_asked_last_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    note_failure(FIRST, OSError("operation expired"))
    other_file = FIRST.replace("a.root", "b.root")
    assert best_first((other_file, SECOND)) == (SECOND, other_file)
    monkeypatch.setattr(files, "AVOIDED_S", 0.0)
    assert best_first((other_file, SECOND)) == (other_file, SECOND)


@pytest.mark.parametrize(
    ("pfn", "error"),
    [
        (FIRST, OSError("[3011] No such file or directory")),
        (FIRST, ValueError("not a ROOT file")),
        ("/data/a.root", OSError("input/output error")),
    ],
)
def test_what_is_not_a_server_that_fails_is_not_avoided(pfn: str, error: Exception) -> None:
    note_failure(pfn, error)
    assert best_first((pfn, SECOND)) == (pfn, SECOND)

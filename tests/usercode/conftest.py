from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("mine", "kitbag", "deep")  # packages that the tests of this folder write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path, whose modules are gone afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [one for one in sys.modules if one.partition(".")[0] in NAMES]:
        del sys.modules[name]

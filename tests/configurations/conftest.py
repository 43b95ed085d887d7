from __future__ import annotations

from pathlib import Path

import pytest

from tests.configurations.inputs import write_inputs


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input files of all configurations."""
    path = tmp_path_factory.mktemp("configurations")
    write_inputs(path)
    return path

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

import intccms
from intccms import schema


@pytest.mark.parametrize("module", ["intccms", "intccms.schema"])
def test_the_import_is_light(module: str) -> None:
    heavy = {"awkward", "coffea", "matplotlib", "numba", "numpy", "uproot", "dask", "rich"}
    code = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert heavy.isdisjoint(loaded)


def test_every_exported_name_is_there() -> None:
    assert schema.__all__ == sorted(schema.__all__)
    assert all(hasattr(schema, name) for name in schema.__all__)


@pytest.fixture
def package_log() -> Iterator[logging.Logger]:
    """The logger of the package, put back as it was."""
    package = logging.getLogger("intccms")
    state = (package.handlers[:], package.level, package.propagate)
    yield package
    package.handlers[:], level, package.propagate = state
    package.setLevel(level)


def test_logging_is_shown_on_request(
    package_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    intccms.set_logging("INFO")
    logging.getLogger("intccms.schema.loading").info("a message")
    logging.getLogger("intccms.schema.loading").debug("a detail")
    assert capsys.readouterr().err == "INFO intccms.schema.loading: a message\n"


def test_logging_that_is_asked_for_twice_is_shown_once(
    package_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    intccms.set_logging()
    intccms.set_logging(logging.DEBUG)
    logging.getLogger("intccms.schema").debug("a detail")
    assert capsys.readouterr().err.count("a detail") == 1

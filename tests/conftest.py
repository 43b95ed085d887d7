"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # also for the processes that tests start

ROOT = Path(__file__).resolve().parents[1]
REQUIRE_ALL = os.environ.get("INTCCMS_REQUIRE_ALL", "") not in ("", "0")


def _require(needed: object, reason: str) -> None:
    if not (needed.exists() if isinstance(needed, Path) else needed):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With INTCCMS_REQUIRE_ALL=1 a test that is skipped, for whatever reason, has failed."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = call.excinfo.value if call.excinfo else "no reason"
        report.longrepr = f"{item.nodeid} was skipped, but INTCCMS_REQUIRE_ALL is set: {reason}"
    return report


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """Skip with a reason what needs something absent.

    Called with a path, a truth value or the result of `shutil.which`.
    """
    return _require


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real CMS files, which are not part of the repository."""
    default = ROOT.parent / "shared" / "data"
    path = Path(os.environ.get("INTCCMS_SHARED_DATA", default))
    _require(path, f"no real CMS files at {path}; set INTCCMS_SHARED_DATA")
    return path


@pytest.fixture(scope="session")
def tiny_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a synthetic sample for `example_opendata`: read it, never write to it."""
    from example_opendata.configs.configuration import config
    from intccms.sample import write_sample
    from intccms.schema import load_config

    out = tmp_path_factory.mktemp("tiny_sample")
    arguments: dict[str, Any] = {"files_per_process": 1, "events_per_file": 2000, "seed": 1}
    write_sample(load_config(config), out, **arguments)
    return out

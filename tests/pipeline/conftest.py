"""One complete run, which the tests of the stages share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from intccms import pipeline
from intccms.pipeline import RunResult
from tests.pipeline.runs import Watcher, configured


@pytest.fixture(scope="session")
def schema(root: Path) -> dict[str, Any]:
    path = root / "src" / "intccms" / "run_summary.schema.json"
    content: dict[str, Any] = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return content


@pytest.fixture(scope="session")
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture(scope="session")
def done(
    tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory, watcher: Watcher
) -> RunResult:
    """One complete run with nominal histograms, a fit and all figures."""
    out = tmp_path_factory.mktemp("done") / "out"
    config = configured(tiny_sample, out, "general.run_systematics=False")
    return pipeline.run(config, observer=watcher)

"""A configuration whose histograms were saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms import pipeline
from intccms.schema import Config, load_config

SOURCE = "example_opendata.configs.configuration:config"


@pytest.fixture(scope="session")
def finished(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The configuration of a run that is done."""
    overrides: dict[str, Any] = {
        "general.base_dir": str(tiny_sample),
        "general.output_dir": str(tmp_path_factory.mktemp("finished")),
        "general.executor": "iterative",
        "general.run_statistics": False,
    }
    config = load_config(SOURCE, overrides)
    with pipeline.Stages(config) as stages:
        stages.count_files()
        stages.process()
        stages.finish()
    return config

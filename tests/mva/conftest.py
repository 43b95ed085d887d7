"""A sample, one run that has trained on it, and the events it has trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms import pipeline
from intccms.analysis import runner
from intccms.datasets import Fileset
from intccms.datasets.metadata import Metadata
from intccms.engine.results import AnalysisResult
from intccms.pipeline import RunResult
from intccms.pipeline.inference import sampler_of
from intccms.schema import Config
from tests.mva.small import configured, write_inputs


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a signal and two backgrounds: read it, never write to it."""
    return write_inputs(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="session")
def trained(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run that has trained its classifier and used it."""
    out = tmp_path_factory.mktemp("trained") / "out"
    return pipeline.run(configured(classes, out, run_mva_training=True))


def collected(
    base: Path, out: Path, *, mva: Any = None, **general: Any
) -> tuple[AnalysisResult, Fileset]:
    """Collect training events without training."""
    return collected_by(configured(base, out, mva=mva, run_mva_training=True, **general))


def collected_by(config: Config) -> tuple[AnalysisResult, Fileset]:
    """Collect the training events of a configuration."""
    with pipeline.Stages(config) as stages:
        metadata = stages.count_files()
        assert isinstance(metadata, Metadata)
        sampler, part = sampler_of(stages._processor, metadata)
        found = runner.process(config, part, stages._workers(), processor=sampler)
    return found, part.fileset


@pytest.fixture(scope="session")
def events(
    classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AnalysisResult, Fileset]:
    """Training events of all processes, and the datasets they are of."""
    return collected(classes, tmp_path_factory.mktemp("events"))

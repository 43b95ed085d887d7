"""Runs of the example on a tiny sample, as the tests of the stages need them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from example_opendata.configs.configuration import config as example
from intccms.execution.tasks import Silent
from intccms.pipeline import Stages
from intccms.schema import Config, load_config

NOMINAL_ONLY = ("general.run_systematics=False", "general.run_statistics=False")
FEW = ("general.processes=[signal,ttbar_semilep,data]",)


def configured(sample: Path, out: Path, *overrides: str) -> Config:
    general = {
        "general.base_dir": str(sample),
        "general.output_dir": str(out),
        "general.executor": "iterative",
    }
    settings = [f"{key}={json.dumps(value)}" for key, value in general.items()]
    return load_config(example, [*settings, *overrides])


def processed(config: Config) -> Stages:
    """Run without figures."""
    with Stages(config) as stages:
        stages.count_files()
        stages.process()
    return stages


def copy_of(sample: Path, folder: Path) -> Path:
    """Copy a sample; the files are links that may be replaced, never written to."""
    shutil.copytree(sample, folder, copy_function=os.link)
    return folder


def replace_text(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


class Watcher(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.n_receipts = 0

    def begin(self, stage: str, **plan: Any) -> None:
        self.stages.append(stage)

    def report(self, report: Any) -> None:
        self.n_receipts += 1

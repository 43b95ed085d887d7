"""A small sample for the open-data example, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uproot

from example_opendata.configs.configuration import config as EXAMPLE
from intccms.schema import Config, load_config
from nanosample import SampleSummary, write_sample

N_FILES, N_EVENTS = 2, 1200


@dataclass(frozen=True)
class Sample:
    out: Path
    config: Config
    summary: SampleSummary
    calls: list[tuple[str, int]]

    def files(self, process: str) -> list[Path]:
        directory = self.out / self.config.datasets.process(process).directories[0]
        return [directory / name for name in (directory / "0.txt").read_text().split()]

    def tree(self, process: str, index: int = 0, name: str = "Events") -> Any:
        return uproot.open(self.files(process)[index])[name]


@pytest.fixture(scope="session")
def example() -> Config:
    return load_config(EXAMPLE)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, example: Config) -> Sample:
    out = tmp_path_factory.mktemp("sample")
    calls: list[tuple[str, int]] = []
    summary = write_sample(
        out,
        example,
        files_per_process=N_FILES,
        events_per_file=N_EVENTS,
        on_file=lambda path, n_events: calls.append((path, n_events)),
    )
    return Sample(out, example, summary, calls)


def small_config(**process: Any) -> dict[str, Any]:
    """Configuration of one simulated process, with changes."""
    entry = {
        "name": "wjets",
        "directories": "somewhere/wjets/",
        "cross_sections": 61526.7,
        "file_pattern": "*.txt",
    } | process
    return {
        "general": {"lumi": 16400.0, "weight_branch": "genWeight"},
        "datasets": {"datasets": [entry]},
    }

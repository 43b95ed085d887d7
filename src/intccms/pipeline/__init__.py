"""The one place that calls the stages of a run in their order and writes ``run_summary.json``."""

from __future__ import annotations

from intccms.pipeline.stages import Stages, run
from intccms.pipeline.summary import RunResult, read_summary, summarise

__all__ = ["RunResult", "Stages", "read_summary", "run", "summarise"]

"""What is different between two finished runs: found, told and drawn."""

from __future__ import annotations

from intccms.pipeline.differences.diff import RunDiff, compare
from intccms.pipeline.differences.drawing import side_by_sides
from intccms.pipeline.differences.runs import FinishedRun

__all__ = ["FinishedRun", "RunDiff", "compare", "side_by_sides"]

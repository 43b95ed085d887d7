"""The inputs before a run: what files hold, how they are stored, what an analysis will read."""

from __future__ import annotations

from intccms.metrics.inspector.files import inspect_files
from intccms.metrics.inspector.forecast import Forecast, forecast
from intccms.metrics.inspector.record import FileRecord
from intccms.metrics.inspector.statistics import Statistics, aggregate_statistics

__all__ = [
    "FileRecord",
    "Forecast",
    "Statistics",
    "aggregate_statistics",
    "forecast",
    "inspect_files",
]

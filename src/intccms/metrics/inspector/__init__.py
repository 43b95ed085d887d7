"""The inputs before a run: what files hold, how they are stored, what an analysis will read."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from intccms.metrics.inspector.files import inspect_files
from intccms.metrics.inspector.record import FileRecord
from intccms.metrics.inspector.statistics import (
    Forecast,
    Statistics,
    aggregate_statistics,
    forecast,
)

__all__ = [
    "FileRecord",
    "Forecast",
    "Statistics",
    "aggregate_statistics",
    "fetch_file_sizes",
    "forecast",
    "inspect_files",
    "plot_file_size_distribution",
]

_LATER = {"fetch_file_sizes": "rucio", "plot_file_size_distribution": "plots"}


def __getattr__(name: str) -> Any:
    """Import what workers need not load when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)

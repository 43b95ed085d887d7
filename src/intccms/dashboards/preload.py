"""Preload of a Dask scheduler: ``dask scheduler --preload intccms.dashboards.preload``.

Dask imports it before it builds the dashboard, so that our routes are in it, and then calls
`dask_setup`.
"""

from __future__ import annotations

from typing import Any

from intccms.dashboards.routes import RunWatcher, register

__all__ = ["dask_setup"]

register()


def dask_setup(scheduler: Any) -> None:
    """Begin to watch runs on a scheduler that starts."""
    RunWatcher().attach(scheduler)

"""The workers of a run: opened when they are first needed, closed when they no longer are."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from intccms.execution.executors import Executor, open_executor
from intccms.schema import Config

__all__ = ["Workers"]


class Workers:
    """Calling it gives the executor.

    Parameters
    ----------
    config, client
        As for `run`.
    """

    def __init__(self, config: Config, client: Any = None) -> None:
        self._config, self._client = config, client
        self._executor: Executor | None = None
        self._open = ExitStack()

    def __call__(self) -> Executor:
        """Give the executor."""
        if self._executor is None:
            opened = open_executor(self._config.general, self._client, code=self._config)
            self._executor = self._open.enter_context(opened)
        return self._executor

    def close(self) -> None:
        """Close what was started here; a next call opens it again."""
        self._executor = None
        self._open.close()

"""The workers of a run: opened when they are first needed, closed when they no longer are."""

from __future__ import annotations

from collections.abc import Callable
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
    tell
        Shows what holds everything up.
    """

    def __init__(
        self, config: Config, client: Any = None, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._config, self._client, self._tell = config, client, tell
        self._executor: Executor | None = None
        self._open = ExitStack()

    def __call__(self) -> Executor:
        """Give the executor."""
        if self._executor is None:
            config = self._config
            opened = open_executor(config.general, self._client, code=config, tell=self._tell)
            self._executor = self._open.enter_context(opened)
        return self._executor

    def close(self) -> None:
        """Close what was started here; a next call opens it again."""
        self._executor = None
        self._open.close()

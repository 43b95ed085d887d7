"""Whoever wants to see a run while it happens: progress bars, the live panel, a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from intccms.receipts import Receipt

__all__ = ["Observer", "Silent"]


class Observer(Protocol):
    """Told of each stage of a run and of each thing that is finished in it."""

    def begin(
        self,
        stage: str,
        *,
        total: int | None = None,
        unit: str = "steps",
        parts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Say that a stage begins, e.g. ``files``, ``chunks``, ``fit``.

        Parameters
        ----------
        stage
            What is done now, in words for people.
        total
            How many `unit` it has; for chunks the number of events.
        unit
            What is counted: ``files``, ``events``, ``steps``.
        parts
            For chunks: how many events each has, by dataset.
        """

    def advance(self, n: int = 1) -> None:
        """Say that `n` more units of the stage are done."""

    def notice(self, text: str) -> None:
        """Show what holds the stage up, as long as it does; empty: nothing any more."""

    def receipt(self, receipt: Receipt) -> None:
        """Take the receipt of a chunk, which counts as its events."""

    def end(self) -> None:
        """Say that the stage is over."""


class Silent:
    """Shows nothing."""

    def begin(
        self,
        stage: str,
        *,
        total: int | None = None,
        unit: str = "steps",
        parts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Ignore it."""

    def advance(self, n: int = 1) -> None:
        """Ignore it."""

    def notice(self, text: str) -> None:
        """Ignore it."""

    def receipt(self, receipt: Receipt) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""

"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from intccms.redaction import redacted

__all__ = ["Finding", "State", "one_line", "rows_of"]

State = Literal["ok", "failed", "open"]

MARKS: dict[State, str] = {"ok": "✓", "failed": "✗", "open": "–"}


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Parameters
    ----------
    check, text
        What was looked at, and what was seen.
    state
        ``open``: it could not be decided, or does not matter here.
    remedy
        What to do if it failed.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def rows_of(found: Iterable[Finding]) -> list[list[str]]:
    """Give the rows of a table, the headings first."""
    rows = [[MARKS[one.state], one.check, one.text, one.remedy] for one in found]
    return [["", "check", "found", "remedy"], *rows]


def one_line(error: Exception) -> str:
    """Give the text of an error, or its type."""
    return redacted(" ".join(str(error).split())) or type(error).__name__

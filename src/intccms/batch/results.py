"""What all jobs gave, as one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from intccms.batch.running import Outcome
from intccms.metrics.tables import Table, with_error

__all__ = ["results_table"]

PARTS = ("processed", "lost")


def results_table(outcomes: Iterable[Outcome]) -> Table:
    """List how each job ended, what it processed and its fit and limit, signal by signal."""
    rows = [["job", "status", "events", "lost", "signal", "strength", "limit (exp.)"]]
    for outcome in outcomes:
        summary = outcome.summary
        books = summary.get("datasets", {}).values()
        counts = [
            f"{sum(book[part]['events'] or 0 for book in books):,}"
            for part in ("processed", "lost")
        ]
        first = [outcome.name, outcome.status, *(counts if summary else ("-", "-"))]
        for fitted in _fits(summary) or [["-", "-", "-"]]:
            rows.append([*first, *fitted])
            first = [""] * len(first)
    return Table("Jobs", rows)


def _fits(summary: dict[str, Any]) -> list[list[str]]:
    limits = summary.get("limits") or {}
    found = []
    for signal, fit in (summary.get("fit") or {}).items():
        strength = with_error(fit["signal_strength"], fit["signal_strength_error"])
        expected = limits.get(signal, {}).get("expected")
        found.append([signal, strength, "-" if expected is None else f"{expected:.3g}"])
    return found

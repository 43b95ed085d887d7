"""Differences of two runs as tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from intccms.histograms.difference import TemplateChange
from intccms.metrics.tables import Table, with_error

__all__ = ["ABSENT", "Change", "change_table", "template_table"]

ABSENT = "(absent)"  # in the place of what a run does not have
HEADINGS = ["", "changed", "largest in", "bin", "first", "second", "change", "std. dev."]


@dataclass(frozen=True)
class Change:
    """One value that is not the same; `ABSENT` where a run does not have it."""

    what: str
    before: Any
    after: Any


def change_table(name: str, changes: Sequence[Change]) -> Table:
    """Tabulate what differs; of a cutflow the first cut of each process: the others follow it.

    Parameters
    ----------
    name
        Heading.
    changes
        One row each.
    """
    if name == "cutflow":
        changes = [*{tuple(one.what.split(": ")[:2]): one for one in reversed(changes)}.values()]
        changes.reverse()
    rows = [["", "first", "second", "change"]]
    rows += [[one.what, _text(one.before), _text(one.after), _change(one)] for one in changes]
    return Table(name.capitalize(), rows, is_text=name in ("settings", "how it was run"))


def _text(value: Any) -> str:
    if isinstance(value, tuple) and isinstance(value[1], int):
        return f"{value[0]:,.1f} ({value[1]:,})"
    if isinstance(value, tuple):
        return with_error(*value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)


def _change(one: Change) -> str:
    """Write by how much a number has changed."""
    before, after = (v[0] if isinstance(v, tuple) else v for v in (one.before, one.after))
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in (before, after)):
        return ""
    return f"{(after - before) / before:+.3%}" if before else f"{after - before:+,.4g}"


def template_table(changes: Sequence[TemplateChange]) -> Table:
    """List, for each process of an observable, the template with the largest change.

    Parameters
    ----------
    changes
        All templates that differ.
    """
    groups: dict[tuple[str, str, str], list[TemplateChange]] = {}
    for one in changes:
        groups.setdefault((one.channel, one.observable, one.process), []).append(one)
    return Table("Templates", [HEADINGS, *(row for one in groups.values() for row in _rows(one))])


def _rows(group: list[TemplateChange]) -> Iterator[list[str]]:
    where = f"{group[0].channel}/{group[0].observable}/{group[0].process}"
    for reason in dict.fromkeys(one.reason for one in group if one.reason):
        names = [one.variation for one in group if one.reason == reason]
        yield [where, str(len(names)), names[0], reason, *[""] * 4]
    compared = [one for one in group if not one.reason]
    if compared:
        worst = max(compared, key=lambda one: (abs(one.significance or 0), one.n_bins))
        yield [
            where, str(len(compared)), worst.variation, f"{worst.low:g} to {worst.high:g}",
            f"{worst.before:,.5g}", f"{worst.after:,.5g}",
            "-" if worst.relative is None else f"{worst.relative:+.3%}",
            "-" if worst.significance is None else f"{worst.significance:+.3g}",
        ]  # fmt: skip

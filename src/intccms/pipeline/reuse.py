"""What has changed from one look to the next, and what was used again, in one line."""

from __future__ import annotations

from collections import Counter
from typing import Any

from intccms.execution.tasks import ChunkStatus
from intccms.metrics.tables import size_text
from intccms.pipeline.summary import RunResult
from intccms.schema.overrides import KEYWORDS
from intccms.schema.resolved import leaves

SHOWN = 4  # changes by name
LETTERS = 24  # of a value
HOW = {
    ChunkStatus.DONE: "read from files",
    ChunkStatus.CACHED: "from kept columns",
    ChunkStatus.RESUMED: "as they were",
    ChunkStatus.FAILED: "lost",
}


def reuse_in_words(before: RunResult, after: RunResult) -> str:
    """Say in one line what has changed, and from what the result was made.

    Parameters
    ----------
    before, after
        The last look and this one.

    Returns
    -------
    str
        ``changed: channels.SR.selection.function; 12 chunks from kept columns; read 0 B``.
    """
    changes = _changes(before, after) if before.code else ["first look"]
    named = ", ".join(changes[:SHOWN]) or "nothing"
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    if after.analysis is None:
        return f"changed: {named}{more}; histograms as they were saved"
    reports = after.analysis.reports
    counts = Counter(report.status for report in reports)
    chunks = [f"{counts[one]:,} chunks {how}" for one, how in HOW.items() if counts[one]]
    n_bytes = sum(report.bytes_read for report in reports if report.status.is_in_rates)
    made = f"{', '.join(chunks) or 'no chunks'}; read {size_text(n_bytes)}"
    lost = f"; {after.lost}" if after.ledger.lost_chunks else ""
    return f"changed: {named}{more}; {made}{lost}"


def _changes(before: RunResult, after: RunResult) -> list[str]:
    """Name functions and files that have another content, and settings with both values."""
    code = dict.fromkeys((*before.code, *after.code))
    found = [place for place in code if before.code.get(place) != after.code.get(place)]
    old, new = (_settings(one) for one in (before, after))
    for place in dict.fromkeys((*old, *new)):
        pair = old.get(place, ""), new.get(place, "")
        if place not in code and pair[0] != pair[1]:
            name = place.replace(f".{KEYWORDS}.", ".")  # as the user writes it
            found.append(f"{name}: {_short(pair[0])} → {_short(pair[1])}")
    return found


def _settings(result: RunResult) -> dict[str, Any]:
    """Give settings by their place, without secrets; a list, as edges of a binning, is one."""
    found: dict[str, Any] = {}
    for place, value in leaves(result.config.dump()):
        parent, _, last = place.rpartition(".")
        if last.isdecimal():
            found.setdefault(parent, []).append(value)
        else:
            found[place] = value
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"

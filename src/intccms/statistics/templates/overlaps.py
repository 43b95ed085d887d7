"""Events that two fitted channels hold would count twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from intccms.errors import FitError
from intccms.histograms import Book
from intccms.schema import Statistics
from intccms.statistics.changes import Change

__all__ = ["overlaps"]


def overlaps(book: Book, regions: dict[str, str], settings: Statistics) -> Iterator[Change]:
    """Give what two regions have in common and are allowed to have.

    Parameters
    ----------
    book
        Knows the events that channels have in common; nothing is said of data that are blinded.
    regions
        Channel of each region.
    settings
        Say which pairs are allowed, and what is blinded.

    Raises
    ------
    FitError
        If a pair has events in common, and is not allowed to.
    """
    allowed = {frozenset(pair) for pair in settings.allow_overlap}
    for (region, one), (other_region, other) in combinations(regions.items(), 2):
        if one == other:
            text = f"regions {region!r} and {other_region!r} are both made of channel {one!r}"
            raise FitError(f"{text}: each event would count twice in the fit")
        is_blinded = bool({one, other} & settings.blind.keys())
        counts = {
            process: pairs.get((min(one, other), max(one, other)), 0)
            for process, pairs in book.overlaps.items()
            if process in book.processes and not (is_blinded and process in book.data_processes)
        }
        if not (total := sum(counts.values())):
            continue
        events = ", ".join(f"{count} of {process}" for process, count in counts.items() if count)
        if {one, other} not in allowed:
            raise FitError(
                f"channels {one!r} and {other!r} hold the same events ({events}), which would "
                "count twice in the fit: select them apart, or name the pair in "
                "statistics.allow_overlap"
            )
        text = f"shares events with {other_region} that count twice ({events})"
        yield Change("overlap", region, "", "", "", text, float(total), "events")

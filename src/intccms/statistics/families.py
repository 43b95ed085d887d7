"""Signals that differ in their mass only: each family is one curve against the mass; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from intccms.statistics.results import SignalResult

__all__ = ["Family", "families"]

NUMBER = re.compile(r"\d+(?:\.\d+)?")
WIDTH = re.compile(r"w(?:idth)?_?([\d.]+)\*m", re.IGNORECASE)


@dataclass(frozen=True)
class Family:
    """Signals of one kind in the order of their mass.

    Parameters
    ----------
    name
        For file names; empty where there is one family only.
    label
        For legends, e.g. the relative width; may be empty.
    """

    name: str
    label: str
    results: tuple[SignalResult, ...]


def families(results: Sequence[SignalResult]) -> tuple[Family, ...]:
    """Group signals with a mass by what their names say beside it.

    ``zprime_m2000_w200`` and ``zprime_m3000_w300`` are one family, that of a relative width of
    10 %; so are ``signal_a`` and ``signal_b`` of different masses.
    """
    known = [one for one in results if one.mass_gev is not None]
    by_number, by_ratio = (_grouped(known, relative=relative) for relative in (False, True))
    complete = [
        groups
        for groups in (by_number, by_ratio)
        if all(len(members) > 1 for members in groups.values())
    ]
    together = {"": known} if known and _are_different(known) else by_number
    groups = min(complete or [together, by_number, by_ratio], key=len)
    result = []
    for pattern, members in groups.items():
        name = re.sub(r"\W+", "_", pattern.replace(".", "p")).strip("_") if len(groups) > 1 else ""
        width = WIDTH.search(pattern)
        label = rf"$\Gamma/m$ = {100 * float(width[1]):g}%" if width else name
        ordered = sorted(members, key=lambda one: one.mass_gev or 0.0)
        result.append(Family(name, label, tuple(ordered)))
    return tuple(result)


def _grouped(results: list[SignalResult], *, relative: bool) -> dict[str, list[SignalResult]]:
    """Signals by their name without the mass, other numbers as they are or relative to it."""
    groups: dict[str, list[SignalResult]] = {}
    for one in results:
        mass = one.mass_gev or 0.0

        def word(found: re.Match[str], mass: float = mass) -> str:
            value = float(found[0])
            if value == mass:
                return ""
            return f"{value / mass:.3g}*m" if relative else found[0]

        groups.setdefault(NUMBER.sub(word, one.signal), []).append(one)
    return groups


def _are_different(results: list[SignalResult]) -> bool:
    return len({one.mass_gev for one in results}) == len(results)

"""Which entry of a weight branch is which member, told by the branch's title and its length.

NanoAOD writes the titles in ``GenWeightsTableProducer`` (cms-sw/cmssw, PhysicsTools/NanoAOD).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from intccms.theory.pdf_sets import PDF_SETS, pdf_set_of

__all__ = ["BRANCHES", "Kind", "Layout", "layout_of"]

Kind = Literal["scale", "pdf", "isr", "fsr"]

# Branches of NanoAOD whose titles say what their entries are.
BRANCHES = ("LHEScaleWeight", "LHEPdfWeight", "PSWeight")

# Renormalisation and factorisation scales; the two in which one is doubled and the other halved are
# left out of the envelope.
SCALES = (("0.5", "0.5"), ("0.5", "1"), ("1", "0.5"), ("1", "2"), ("2", "1"), ("2", "2"))
# Where these six stand if the title does not say it: renormalisation slower, with and without the
# central one; 44 are the eight, each with four more choices of the dynamical scale after it, in
# which the central one is missing and its four are not.
SCALE_POSITIONS = {9: (0, 1, 3, 5, 7, 8), 8: (0, 1, 3, 4, 6, 7), 44: (0, 5, 15, 24, 34, 39)}
_ENTRY = re.compile(r"\[(\d+)\]\s*(?:is\s)?\s*([^\[;]*)")
_SCALE = r"\s*=\s*[\"']?([\d.]+(?:[de][+-]?\d+)?)"  # 0.5, 0.5d0 or 0.50000E+00
_MU_R = re.compile(r"(?:renscfact|mur)" + _SCALE, re.IGNORECASE)
_MU_F = re.compile(r"(?:facscfact|muf)" + _SCALE, re.IGNORECASE)
_DYNAMICAL = re.compile(r"dyn", re.IGNORECASE)

# First of isr up, fsr up, isr down, fsr down, up being more radiation: the "Def" entries of pythia
# (isr:muRfac=0.5 is isrDefHi), alone or within all weights with or without the two nominal ones.
SHOWER_POSITIONS = {4: 0, 12: 4, 14: 6, 44: 4, 46: 6}
_MUR_FAC = re.compile(r"(isr|fsr)\W*murfac" + _SCALE, re.IGNORECASE)

_LHA_IDS = re.compile(r"LHA\s*IDs?\s*(\d+)\s*-\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Members of one set of weights.

    Parameters
    ----------
    group
        Names the set, and with it the way in which its members are combined.
    members
        Names of the members.
    positions
        Where each is in the branch.
    """

    group: str
    members: tuple[str, ...]
    positions: tuple[int, ...]


@lru_cache(maxsize=256)
def layout_of(kind: Kind, title: str, n: int, lha_id: int | None = None) -> Layout | None:
    """Say where the members of a kind are among `n` weights; None if they are not there.

    Parameters
    ----------
    kind
        What is wanted: scales, parton densities, initial or final state radiation.
    title
        Of the branch; empty if it is not known. Then the length decides, where it can.
    n
        Weights of the event.
    lha_id
        Of member 0 of the set of parton densities, where the title names none.
    """
    if kind == "scale":
        positions = _scales(title, n)
        names = tuple(f"{mu_r},{mu_f}" for mu_r, mu_f in SCALES)
        return None if positions is None else Layout("scales", names, positions)
    if kind == "pdf":
        return _densities(title, n, lha_id)
    shower = _shower(kind, title, n)
    return None if shower is None else Layout("shower", ("up", "down"), shower)


def _scales(title: str, n: int) -> tuple[int, ...] | None:
    found: dict[tuple[str, str], int] = {}
    for number, text in _ENTRY.findall(title):
        mu_r, mu_f = _MU_R.search(text), _MU_F.search(text)
        if mu_r and mu_f and not _DYNAMICAL.search(text):
            point = (f"{_number(mu_r[1]):g}", f"{_number(mu_f[1]):g}")
            found.setdefault(point, int(number))
    if not found:
        return SCALE_POSITIONS.get(n)
    positions = tuple(found[point] for point in SCALES if point in found)
    is_whole = len(positions) == len(SCALES) and max(positions) < n
    return positions if is_whole else None


def _number(text: str) -> float:
    return float(text.lower().replace("d", "e"))


def _shower(kind: Kind, title: str, n: int) -> tuple[int, int] | None:
    found: dict[tuple[str, float], int] = {}
    for number, text in _ENTRY.findall(title):
        for which, factor in _MUR_FAC.findall(text):
            found.setdefault((which.lower(), _number(factor)), int(number))
    if found:
        pair = (found.get((kind, 0.5), n), found.get((kind, 2.0), n))
        return pair if max(pair) < n else None
    if n not in SHOWER_POSITIONS:
        return None
    up = SHOWER_POSITIONS[n] + (kind == "fsr")
    return up, up + 2


def _densities(title: str, n: int, lha_id: int | None) -> Layout | None:
    named = _LHA_IDS.search(title)
    if named:
        first, last = int(named[1]), int(named[2])
    else:
        first = _first_id(n, lha_id)
        last = first + n - 1
    known = pdf_set_of(first, last)
    if known is None or n != last - first + 1:
        return None
    names = tuple(first + i - known.first_id for i in range(n))
    if names[0] > 1 or names[-1] < known.n_errors:  # not all that span the uncertainty
        return None
    return Layout(f"LHA {first}-{last}", tuple(map(str, names)), tuple(range(n)))


def _first_id(n: int, lha_id: int | None) -> int:
    """Return the id of the set of `n` members that is named, or of any if all are alike; else 0."""
    several = [one for one in PDF_SETS if one.n_members == n]
    named = [one for one in several if one.first_id == lha_id]
    ways = {(one.error_type, one.has_alpha_s, one.confidence) for one in named or several}
    return (named or several)[0].first_id if len(ways) == 1 else 0

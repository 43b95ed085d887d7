"""Theory weights: what each member of a set is, and how members become an uncertainty; pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

ErrorType = Literal["replicas", "symmhessian", "hessian"]


@dataclass(frozen=True)
class PdfSet:
    """One set.

    Parameters
    ----------
    first_id
        LHAPDF id of member 0, the central one; member `i` has ``first_id + i``.
    n_errors
        Members that follow the central one and span the uncertainty.
    error_type
        ``replicas``: a sample of the probability; ``symmhessian``: one member an eigenvector;
        ``hessian``: two, up and down.
    has_alpha_s
        Whether two members with another strong coupling come last.
    confidence
        Of the members: 0.68, or 0.90 for the sets of the CTEQ collaboration.
    """

    first_id: int
    name: str
    n_errors: int
    error_type: ErrorType
    has_alpha_s: bool = False
    confidence: float = 0.68

    @property
    def n_members(self) -> int:
        """All members."""
        return 1 + self.n_errors + 2 * self.has_alpha_s


@cache
def pdf_sets() -> tuple[PdfSet, ...]:
    """Return all sets that are known, as ``pdf_sets.csv`` lists them."""
    text = files("intccms.histograms").joinpath("pdf_sets.csv").read_text(encoding="utf-8")
    rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        PdfSet(int(first), name, int(n), cast(ErrorType, kind), alpha_s == "yes", float(level))
        for first, name, n, kind, alpha_s, level in rows
    )


def pdf_set_of(first: int, last: int) -> PdfSet | None:
    """Return the set that holds the ids from `first` to `last`; None if the table has none."""
    for one in pdf_sets():
        if one.first_id <= first and last < one.first_id + one.n_members:
            return one
    return None


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
    """Return where the members of a kind are among `n` weights; None if they are not there.

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
        return _layout_of_densities(title, n, lha_id)
    shower = _shower(kind, title, n)
    return None if shower is None else Layout("shower", ("up", "down"), shower)


def _scales(title: str, n: int) -> tuple[int, ...] | None:
    numbers: dict[tuple[str, str], int] = {}
    for number, text in _ENTRY.findall(title):
        mu_r, mu_f = _MU_R.search(text), _MU_F.search(text)
        if mu_r and mu_f and not _DYNAMICAL.search(text):
            point = (f"{_number(mu_r[1]):g}", f"{_number(mu_f[1]):g}")
            numbers.setdefault(point, int(number))
    if not numbers:
        return SCALE_POSITIONS.get(n)
    positions = tuple(numbers[point] for point in SCALES if point in numbers)
    is_whole = len(positions) == len(SCALES) and max(positions) < n
    return positions if is_whole else None


def _number(text: str) -> float:
    return float(text.lower().replace("d", "e"))


def _shower(kind: Kind, title: str, n: int) -> tuple[int, int] | None:
    numbers: dict[tuple[str, float], int] = {}
    for number, text in _ENTRY.findall(title):
        for which, factor in _MUR_FAC.findall(text):
            numbers.setdefault((which.lower(), _number(factor)), int(number))
    if numbers:
        pair = (numbers.get((kind, 0.5), n), numbers.get((kind, 2.0), n))
        return pair if max(pair) < n else None
    if n not in SHOWER_POSITIONS:
        return None
    up = SHOWER_POSITIONS[n] + (kind == "fsr")
    return up, up + 2


def _layout_of_densities(title: str, n: int, lha_id: int | None) -> Layout | None:
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
    several = [one for one in pdf_sets() if one.n_members == n]
    named = [one for one in several if one.first_id == lha_id]
    ways = {(one.error_type, one.has_alpha_s, one.confidence) for one in named or several}
    return (named or several)[0].first_id if len(ways) == 1 else 0


Bins = NDArray[np.float64]

CONFIDENCE_SIGMAS = {0.68: 1.0, 0.90: 1.6448536269514722}


def combined(group: str, nominal: Bins, members: Mapping[str, Bins]) -> tuple[Bins, Bins]:
    """Return what is to be added to the nominal bins for up and for down.

    Scales: the envelope of the members and the nominal. Shower: the two members. Parton densities:
    as their set says, with half the difference of the two members for the strong coupling added
    in quadrature.

    Parameters
    ----------
    group
        As in `Layout`.
    nominal
        Of the events that have these weights.
    members
        Bins of each member, of the same events.

    References
    ----------
    Replicas: standard deviation, arXiv:1510.03865 eq. 21. Symmetric Hessian: eq. 20. Strong
    coupling: eq. 27 and 28. Hessian: arXiv:hep-ph/0110378, with up and down apart as in
    arXiv:1510.03865 section 2.2.
    """
    if group == "shower":
        return members["up"] - nominal, members["down"] - nominal
    if group == "scales":
        several = np.stack([nominal, *members.values()])
        return several.max(axis=0) - nominal, several.min(axis=0) - nominal
    first, last = (int(number) for number in group.removeprefix("LHA ").split("-"))
    known = pdf_set_of(first, last)
    if known is None:
        raise ValueError(f"no set of parton densities has the LHA ids {first} - {last}")
    return _moved_densities(known, nominal, {int(name): bins for name, bins in members.items()})


def _moved_densities(
    known: PdfSet, nominal: Bins, members: Mapping[int, Bins]
) -> tuple[Bins, Bins]:
    central = members.get(0, nominal)
    errors = [members[i] for i in range(1, known.n_errors + 1) if i in members]
    moved = np.stack(errors) - central if errors else np.zeros((0, *nominal.shape))
    if known.error_type == "replicas":
        up = down = moved.var(axis=0, ddof=1) if len(moved) > 1 else np.zeros_like(nominal)
    elif known.error_type == "symmhessian":
        up = down = np.square(moved).sum(axis=0)
    else:
        pairs = moved[: len(moved) // 2 * 2].reshape(-1, 2, *nominal.shape)
        up = np.square(np.maximum(pairs.max(axis=1), 0.0)).sum(axis=0)
        down = np.square(np.minimum(pairs.min(axis=1), 0.0)).sum(axis=0)
    sigmas = CONFIDENCE_SIGMAS[known.confidence]
    coupling = np.zeros_like(nominal)
    lower, upper = known.n_errors + 1, known.n_errors + 2
    if known.has_alpha_s and lower in members and upper in members:
        coupling = np.square((members[upper] - members[lower]) / 2)
    return np.sqrt(up / sigmas**2 + coupling), -np.sqrt(down / sigmas**2 + coupling)

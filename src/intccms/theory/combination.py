"""Templates of the members of a set → one up and one down template; bin by bin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from intccms.theory.pdf_sets import PdfSet, pdf_set_of

__all__ = ["combined"]

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
    return _densities(known, nominal, {int(name): bins for name, bins in members.items()})


def _densities(known: PdfSet, nominal: Bins, members: Mapping[int, Bins]) -> tuple[Bins, Bins]:
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

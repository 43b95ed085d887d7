"""What the generators leave open: scales, parton densities, parton shower, spectrum of the top.

Each source is a set of relative weights in NanoAOD. Nominally nothing is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np

from ..datasets import BACKGROUNDS
from ..signals import SIGNALS

__all__ = ["theory_weights"]

TTBAR = ["ttbar_semilep", "ttbar_had", "ttbar_lep"]
SIGNAL = [signal.process for signal in SIGNALS]
# Boson pairs are from pythia alone, which has no weights of matrix elements.
WITH_MATRIX_ELEMENT = [name for name in BACKGROUNDS if name != "diboson"]

# Renormalisation and factorisation scales times (½, 1, 2) each, in this order (muR slower); the
# two in which one is doubled and the other halved are left out. Some samples lack the central one.
SEVEN_POINTS = {9: (0, 1, 3, 4, 5, 7, 8), 8: (0, 1, 3, 4, 6, 7)}
N_SCALES = 9

LAST_COPY = 1 << 13  # in GenPart_statusFlags
TOP = 6


def theory_weights() -> list[dict[str, Any]]:
    """Weights of all years; a process that has its own scales has its own nuisance parameter."""
    groups = {name: [name] for name in WITH_MATRIX_ELEMENT if name not in TTBAR}
    groups |= {"ttbar": TTBAR, "signal": SIGNAL}
    everything = [*SIGNAL, *BACKGROUNDS]
    shower = {"isr": (0, 2), "fsr": (1, 3)}  # positions of up and down in PSWeight
    return [
        *(
            _weights(f"scale_{group}", "LHEScaleWeight", (upper_scale, lower_scale), processes)
            for group, processes in groups.items()
        ),
        _weights("pdf", "LHEPdfWeight", (upper_pdf, lower_pdf), [*SIGNAL, *WITH_MATRIX_ELEMENT]),
        *(
            _weights(name, "PSWeight", tuple(map(entry, places)), everything)
            for name, places in shower.items()
        ),
        _top_spectrum(),
    ]


def _weights(
    name: str, branch: str, functions: tuple[Callable[..., Any], ...], processes: list[str]
) -> dict[str, Any]:
    up, down = functions
    return _only_varied(name, [("event", branch)], processes, up_function=up, down_function=down)


def _only_varied(
    name: str, args: list[tuple[str, str]], processes: list[str], **source: Any
) -> dict[str, Any]:
    source |= {"name": name, "processes": processes, "is_delta": True}
    return {
        "name": name,
        "type": "event",
        "use_correctionlib": False,
        "args": args,
        "uncertainty_sources": [source],
    }


def _table(weights: ak.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One row an event: all events of a sample have the same number of weights."""
    if not len(weights):
        return np.ones((0, N_SCALES))
    return np.asarray(ak.to_numpy(ak.to_regular(weights)), dtype=np.float64)


def seven_points(weights: ak.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights of the envelope, relative to the central one, which counts in any case."""
    table = _table(weights)
    return table[:, SEVEN_POINTS[table.shape[1]]]


def upper_scale(weights: ak.Array) -> ak.Array:
    """Largest of the seven points."""
    return np.maximum(seven_points(weights).max(axis=1), 1.0)


def lower_scale(weights: ak.Array) -> ak.Array:
    """Smallest of the seven points."""
    return np.minimum(seven_points(weights).min(axis=1), 1.0)


def pdf_uncertainty(weights: ak.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Symmetric relative uncertainty of a Hessian set with two members for the strong coupling.

    Both sets in use are of this kind: NNPDF3.1 (103 weights) and PDF4LHC15 (33). The deviations of
    the eigenvectors add in quadrature (arXiv:1510.03865, eq. 20), and so does half the difference
    between the last two (eq. 27, 28).
    """
    table = _table(weights)
    central, members, coupling = table[:, :1], table[:, 1:-2], table[:, -2:]
    squared = ((members - central) ** 2).sum(axis=1) + (np.diff(coupling)[:, 0] / 2) ** 2
    return np.sqrt(squared) / central[:, 0]


def upper_pdf(weights: ak.Array) -> ak.Array:
    """Weight for one standard deviation up."""
    return 1 + pdf_uncertainty(weights)


def lower_pdf(weights: ak.Array) -> ak.Array:
    """Weight for one standard deviation down."""
    return 1 - pdf_uncertainty(weights)


def entry(index: int) -> Callable[[ak.Array], ak.Array]:
    """Make a function that takes one weight of each event."""

    def chosen(weights: ak.Array) -> ak.Array:
        return weights[:, index]

    return chosen


def _top_spectrum() -> dict[str, Any]:
    """Take the difference between measured and simulated spectrum as uncertainty."""
    columns = [("GenPart", name) for name in ("pt", "pdgId", "statusFlags")]
    return _only_varied("top_pt", columns, TTBAR, up_function=top_weight, symmetrise=True)


def top_weight(pt: ak.Array, pdg_id: ak.Array, flags: ak.Array) -> ak.Array:
    """Factor of arXiv:1803.08856 as the top group fits it: √(f(t) f(t̄)), f = exp(a - b pT).

    https://twiki.cern.ch/twiki/bin/view/CMS/TopPtReweighting, data over POWHEG.
    """
    is_top = (abs(pdg_id) == TOP) & ((flags & LAST_COPY) != 0)
    logarithm = 0.0615 - 0.0005 * np.minimum(pt[is_top], 500)
    return np.exp(0.5 * ak.sum(logarithm, axis=1))

"""What the generators leave open: scales, parton densities, parton shower, spectrum of the top.

Each source is a set of relative weights in NanoAOD. Nominally nothing is applied. None of them
changes a rate, which the cross sections' uncertainties do; the spectrum of the top keeps its small
change of it.
"""

from __future__ import annotations

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

# Parton densities of the Ultra-Legacy samples, NNPDF31_nnlo_as_0118_mc_hessian_pdfas, where a file
# does not say which it has: https://monte-carlo-production-tools.gitbook.io/project/mccontact/
# info-for-mc-production-for-ultra-legacy-campaigns-2016-2017-2018
LHA_ID = 325300

LAST_COPY = 1 << 13  # in GenPart_statusFlags
TOP = 6


def theory_weights() -> list[dict[str, Any]]:
    """Weights of all years; a process that has its own scales has its own nuisance parameter."""
    groups = {name: [name] for name in WITH_MATRIX_ELEMENT if name not in TTBAR}
    groups |= {"ttbar": TTBAR, "signal": SIGNAL}
    everything = [*SIGNAL, *BACKGROUNDS]
    return [
        *(
            _members(f"scale_{group}", "LHEScaleWeight", processes, members="scale")
            for group, processes in groups.items()
        ),
        _members(
            "pdf",
            "LHEPdfWeight",
            [*SIGNAL, *WITH_MATRIX_ELEMENT],
            members="pdf",
            lha_id=LHA_ID,
        ),
        *(_members(side, "PSWeight", everything, members=side) for side in ("isr", "fsr")),
        _top_spectrum(),
    ]


def _members(name: str, branch: str, processes: list[str], **source: Any) -> dict[str, Any]:
    """Make a source of all weights in a branch that changes no rate: the cross sections do."""
    return _only_varied(name, [("event", branch)], processes, normalise=True, **source)


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

"""Corrections of one file, told from the keys that a configuration asks of it."""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections.abc import Iterable

from correctionlib import schemav2

from intccms.errors import InputError
from intccms.sample import pileup
from intccms.sample.calibrations import jet_corrections
from intccms.sample.calibrations.nodes import Node, binning, category, correction, formula
from intccms.sample.settings import settings

__all__ = ["correction_set"]

MUON_EDGES = {
    "eta": [0.0, 0.9, 1.2, 2.1, 2.4],
    "pt": [15.0, 30.0, 40.0, 50.0, 60.0, 120.0, 200.0, 10000.0],
}
_PILEUP = re.compile(r"goldenJSON|pile-?up", re.IGNORECASE)
_MUON = re.compile(r"^NUM_\w+_DEN_\w+$")
_BTAG = re.compile(r"_shape$")
_RATIO = re.compile(r"_yield_ratio$")
_JET = re.compile(r"^(?P<campaign>.+?)_(?P<level>[A-Za-z0-9]+)_(?P<algorithm>AK\d+\w+)$")


def correction_set(file: str, keys: Iterable[str]) -> schemav2.CorrectionSet:
    """Make the corrections of one file: whole families, under the names of real files.

    Parameters
    ----------
    file
        Path as the configuration gives it.
    keys
        Keys that the configuration asks of the file.

    Raises
    ------
    InputError
        If a key is of no known family.
    """
    made: dict[str, schemav2.Correction] = {}
    for key in sorted(set(keys)):
        if key not in made:
            made.update({entry.name: entry for entry in _family(file, key)})
    return schemav2.CorrectionSet(
        schema_version=2,
        description="Synthetic, made by `intccms sample`: not for physics.",
        corrections=[made[name] for name in sorted(made)],
    )


def _family(file: str, key: str) -> list[schemav2.Correction]:
    """Make the family to which a key belongs."""
    if _PILEUP.search(key):
        return [_pileup(key)]
    if _MUON.match(key):
        return [_muon(name) for name in sorted({*settings()["muon_keys"], key})]
    if _BTAG.search(key):
        return [jet_corrections.btag_shape(key, file)]
    if _RATIO.search(key):
        return [jet_corrections.yield_ratio(key)]
    if key == "JERSmear":
        return [jet_corrections.smearing(key)]
    if found := _JET.match(key):
        return jet_corrections.energy(found["campaign"], found["level"], found["algorithm"])
    raise InputError(
        f"{file}: cannot make a correction called {key!r}; known are pile-up (…_goldenJSON), "
        "muons (NUM_…_DEN_…), jets (<campaign>_<level>_AK4PFchs, JERSmear) and b tags (…_shape, "
        "…_yield_ratio)"
    )


def _pileup(key: str) -> schemav2.Correction:
    """Make weights of the number of interactions, with the inelastic cross section varied."""
    edges = {"NumTrueInteractions": [float(edge) for edge in range(pileup.N_BINS + 1)]}
    shifts = {"nominal": 0.0, "up": 1.0, "down": -1.0}
    data = {name: binning(edges, pileup.weights(by).tolist()) for name, by in shifts.items()}
    return correction(key, "NumTrueInteractions weights:string", category("weights", data))


def _muon(key: str) -> schemav2.Correction:
    """Make an efficiency ratio, below one, in bins of |eta| and transverse momentum."""
    loss = 0.004 + 0.003 * (zlib.crc32(key.encode()) % 7)  # 0.4 to 2.2 %, as in real files
    bins = itertools.product(*(range(len(edges) - 1) for edges in MUON_EDGES.values()))
    contents = binning(MUON_EDGES, [_muon_bin(loss, *where) for where in bins])
    absolute = {"rule": formula("abs(x)", "eta"), "content": contents}
    data: Node = {"nodetype": "transform", "input": "eta", **absolute}
    return correction(key, "eta pt scale_factors:string", data)


def _muon_bin(loss: float, eta_bin: int, pt_bin: int) -> Node:
    """Give factor and uncertainties of one bin; up and down hold statistics and systematics."""
    nominal = 1 - loss * (1 + 0.35 * eta_bin) * (1 - 0.03 * pt_bin)
    stat, syst = 4e-4 * (1 + 0.6 * pt_bin), 0.004 + 0.0008 * pt_bin + 0.001 * eta_bin
    up, down = (nominal + sign * math.hypot(stat, syst) for sign in (1, -1))
    values = {"nominal": nominal, "stat": stat, "syst": syst, "systup": up, "systdown": down}
    return category("scale_factors", values)

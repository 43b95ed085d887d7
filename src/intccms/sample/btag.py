"""Shape factors of a b-tag discriminant in correctionlib's schema."""

from __future__ import annotations

import re
from typing import Any

from correctionlib import schemav2

from intccms.sample.jets_energy import SOURCES
from intccms.sample.scale_factors import variable

__all__ = ["shape", "systematics"]

ETA_EDGES = [0.0, 0.8, 1.6, 2.5]
PT_EDGES = [20.0, 30.0, 50.0, 100.0, 10000.0]
SCORE_EDGES = [-15.0, 0.0, 0.1, 0.3, 0.6, 0.9, 1.1]
TILT = {0: 0.06, 4: 0.02, 5: -0.03}  # slope of the factor between scores 0 and 1
SIZES = {
    "lf": 0.04,
    "lfstats1": 0.015,
    "lfstats2": 0.01,
    "hf": 0.02,
    "hfstats1": 0.01,
    "hfstats2": 0.008,
}
CHARM = {"cferr1": 0.06, "cferr2": 0.04}
DECORRELATED = ("AbsoluteStat", "TimePtEta")  # and those that begin with one of:
DECORRELATED_BEGIN = ("RelativeJEREC", "RelativePtEC", "RelativeSample", "RelativeStat")
_YEAR = re.compile(r"(201[678])")


def systematics(file: str) -> dict[str, float]:
    """List names of all uncertainties, without direction, and their sizes.

    Sources that are independent between years also exist with the year in their name where the
    file's path tells it, as in the real files.
    """
    jes = {f"jes{name}": 0.003 + 0.3 * high for name, (high, _, _) in SOURCES.items()}
    if found := _YEAR.search(file):
        jes |= {
            f"jes{name}_{found[1]}": jes[f"jes{name}"]
            for name in SOURCES
            if name in DECORRELATED or name.startswith(DECORRELATED_BEGIN)
        }
    return {**SIZES, **CHARM, "jes": 0.015, **jes}


def shape(key: str, file: str) -> schemav2.Correction:
    """Make factors in bins of flavour, pseudorapidity, momentum and score.

    As in the real files only ``central`` knows all flavours; ``cferr…`` is for charm alone, all
    others are for light and bottom jets.
    """
    contents = [{"key": "central", "value": _flavours((0, 4, 5), 0.0)}]
    for name, size in systematics(file).items():
        flavours = (4,) if name in CHARM else (0, 5)
        for direction, sign in (("up", 1), ("down", -1)):
            value = _flavours(flavours, sign * size)
            contents.append({"key": f"{direction}_{name}", "value": value})
    return schemav2.Correction(
        name=key,
        version=2,
        inputs=[
            variable("systematic", "string", "central, or up_ and down_ of a source"),
            variable("flavor", "int", "hadron flavor: 5=b, 4=c, 0=udsg"),
            variable("abseta", "real", "absolute pseudorapidity"),
            variable("pt", "real", "transverse momentum"),
            variable("discriminant", "real", "discriminant"),
        ],
        output=variable("weight", "real", "factor for one jet"),
        data=schemav2.Category.model_validate(
            {"nodetype": "category", "input": "systematic", "content": contents}
        ),
    )


def _flavours(flavours: tuple[int, ...], shift: float) -> dict[str, Any]:
    """Choose by flavour, then by bin."""
    content = [{"key": flavour, "value": _bins(TILT[flavour], shift)} for flavour in flavours]
    return {"nodetype": "category", "input": "flavor", "content": content}


def _bins(tilt: float, shift: float) -> dict[str, Any]:
    """Make a factor linear in the score; a shift grows towards its ends and low momentum."""
    content = []
    for eta in range(len(ETA_EDGES) - 1):
        for pt in range(len(PT_EDGES) - 1):
            for low, high in zip(SCORE_EDGES[:-1], SCORE_EDGES[1:], strict=True):
                score = 0.5 * (max(low, 0.0) + min(high, 1.0)) - 0.5
                factor = 1 + tilt * score * (1 + 0.1 * eta) * (1 - 0.1 * pt)
                content.append(round(factor + shift * (0.5 + score) * (1 - 0.15 * pt), 6))
    return {
        "nodetype": "multibinning",
        "inputs": ["abseta", "pt", "discriminant"],
        "edges": [ETA_EDGES, PT_EDGES, SCORE_EDGES],
        "content": content,
        "flow": "clamp",
    }

"""Jet energies: corrections with 27 uncertainty sources, smearing; shape factors of b tags."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from correctionlib import schemav2

from intccms.sample.calibrations.nodes import Node, binning, category, correction, formula
from intccms.sample.response import L1_SLOPE, L2_RESPONSE, REGIONS
from intccms.sample.settings import settings

__all__ = ["btag_shape", "energy", "smearing", "yield_ratio"]

ETA_EDGES = {"JetEta": [-5.4, -3.0, -2.5, -1.3, 0.0, 1.3, 2.5, 3.0, 5.4]}
RESOLUTION_RATIO = (1.1, 1.13, 1.3, 1.2)
INPUTS = {
    "L1FastJet": "JetA JetEta JetPt Rho",
    "PtResolution": "JetEta JetPt Rho",
    "ScaleFactor": "JetEta systematic:string",
}
BTAG_EDGES = {
    "abseta": [0.0, 0.8, 1.6, 2.5],
    "pt": [20.0, 30.0, 50.0, 100.0, 10000.0],
    "discriminant": [-15.0, 0.0, 0.1, 0.3, 0.6, 0.9, 1.1],
}
_YEAR = re.compile(r"(201[678])")


def energy(campaign: str, asked: str, algorithm: str) -> list[schemav2.Correction]:
    """Make all levels and sources of a campaign, and `asked` if it is none of them."""
    pt = "max(9,min(x,6500))"
    made: dict[str, Node] = {
        "L1FastJet": formula(f"max(0.5,1-{L1_SLOPE}*y*z/max(x,1))", "JetPt", "JetA", "Rho"),
        "L2Relative": _by_region(L2_RESPONSE),
        "L3Absolute": 1.0,
        "L2L3Residual": 1.0,
        "Total": formula(f"0.021+0.045*exp(-{pt}/60)", "JetPt"),
    }
    for name, (high, low, regions, *_) in settings()["jet_sources"].items():
        inside = formula(f"{high}+{low}*exp(-{pt}/60)", "JetPt")
        made[name] = _by_region([inside if region in regions else 0.0 for region in REGIONS])
    if asked == "PtResolution":
        made = {asked: formula("sqrt(0.002+0.55/max(x,9)+(9+0.2*y)/max(x*x,81))", "JetPt", "Rho")}
    elif asked == "ScaleFactor":
        ratios = [{"nom": x, "up": x + 0.03, "down": x - 0.03} for x in RESOLUTION_RATIO]
        made = {asked: _by_region([category("systematic", ratio) for ratio in ratios])}
    made.setdefault(asked, made.get("Total", 0.0))
    return [
        correction(f"{campaign}_{level}_{algorithm}", INPUTS.get(level, "JetEta JetPt"), data)
        for level, data in made.items()
    ]


def btag_shape(key: str, file: str) -> schemav2.Correction:
    """Make factors in bins of flavour, pseudorapidity, momentum and discriminant.

    As in the real files only ``central`` knows all flavours; ``cferr…`` is for charm alone, all
    others are for light and bottom jets. Jet-energy sources that are independent between years
    also exist with the year in their name where the file's path tells it.
    """
    table = settings()
    sizes = dict(table["btag_sources"])
    year = _YEAR.search(file)
    for name, (high, _, _, *decorrelated) in table["jet_sources"].items():
        sizes[f"jes{name}"] = 0.003 + 0.3 * high
        if decorrelated and year:
            sizes[f"jes{name}_{year[1]}"] = sizes[f"jes{name}"]
    contents = {"central": _by_flavour((0, 4, 5), 0.0)}
    for flavours, sources in {(0, 5): sizes, (4,): table["btag_charm_sources"]}.items():
        for name, size in sources.items():
            contents[f"up_{name}"] = _by_flavour(flavours, size)
            contents[f"down_{name}"] = _by_flavour(flavours, -size)
    inputs = "systematic:string flavor:int abseta pt discriminant"
    return correction(key, inputs, category("systematic", contents))


def smearing(key: str) -> schemav2.Correction:
    """Make the factor of the hybrid method, as the real file has it.

    A jet with a match is stretched away from the generated one; the others (``GenPt`` -1) get a
    random number that only depends on the event and the jet.
    """
    random = {"nodetype": "hashprng", "inputs": ["JetPt", "JetEta", "Rho", "EventID"]}
    wide = formula("1+sqrt(max(x*x-1,0))*y*z", "JERSF", "JER", "GenPt")
    unmatched: Node = {
        **{"nodetype": "transform", "input": "GenPt", "content": wide},
        "rule": random | {"distribution": "normal"},
    }
    matched = formula("1+(x-1)*(y-z)/y", "JERSF", "JetPt", "GenPt")
    edges = {"edges": [-1.0, 0.0, 1.0], "content": [unmatched, matched], "flow": "clamp"}
    inputs = "JetPt JetEta GenPt Rho EventID:int JER JERSF"
    return correction(key, inputs, {"nodetype": "binning", "input": "GenPt", **edges})


def yield_ratio(key: str) -> schemav2.Correction:
    """Make what keeps yields as they were before the factors of b tags, by number of jets."""
    edges = {"n_jets": [-0.5, *(count + 0.5 for count in range(9))]}
    return correction(key, "n_jets", binning(edges, [1 - 0.004 * count for count in range(9)]))


def _by_region(contents: Sequence[Node]) -> Node:
    """Choose by the size of pseudorapidity."""
    return binning(ETA_EDGES, [*reversed(contents), *contents])


def _by_flavour(flavours: Sequence[int], shift: float) -> Node:
    """Make factors linear in the score; a shift grows towards high scores and low momentum."""
    scores = BTAG_EDGES["discriminant"]
    middles = [0.5 * (max(a, 0.0) + min(b, 1.0)) for a, b in itertools.pairwise(scores)]
    tilts = settings()["btag_tilt"]
    contents: dict[int, Node] = {}
    for flavour in flavours:
        values = [
            1
            + tilts[flavour] * (x - 0.5) * (1 + 0.1 * eta) * (1 - 0.1 * pt)
            + shift * x * (1 - 0.15 * pt)
            for eta, pt, x in itertools.product(range(3), range(4), middles)
        ]
        contents[flavour] = binning(BTAG_EDGES, [round(value, 6) for value in values])
    return category("flavor", contents)

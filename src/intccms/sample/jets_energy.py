"""Jet-energy corrections and their 27 uncertainty sources in correctionlib's schema."""

from __future__ import annotations

from typing import Any

from correctionlib import schemav2

from intccms.sample.scale_factors import variable

__all__ = ["SOURCES", "family"]

ETA_EDGES = [-5.4, -3.0, -2.5, -1.3, 0.0, 1.3, 2.5, 3.0, 5.4]
BARREL, ENDCAP, FORWARD, HADRON_FORWARD = range(4)  # regions of |eta| between the edges
LOWEST_GEV, HIGHEST_GEV = 9.0, 6500.0
EVERYWHERE = (BARREL, ENDCAP, FORWARD, HADRON_FORWARD)

# relative size at high momentum, what is added at low momentum, regions concerned
SOURCES: dict[str, tuple[float, float, tuple[int, ...]]] = {
    "AbsoluteMPFBias": (0.005, 0.0, EVERYWHERE),
    "AbsoluteScale": (0.005, 0.001, EVERYWHERE),
    "AbsoluteStat": (0.002, 0.001, EVERYWHERE),
    "FlavorQCD": (0.006, 0.020, EVERYWHERE),
    "Fragmentation": (0.005, 0.004, EVERYWHERE),
    "PileUpDataMC": (0.001, 0.020, EVERYWHERE),
    "PileUpPtBB": (0.002, 0.018, (BARREL,)),
    "PileUpPtEC1": (0.003, 0.020, (ENDCAP,)),
    "PileUpPtEC2": (0.006, 0.030, (FORWARD,)),
    "PileUpPtHF": (0.008, 0.030, (HADRON_FORWARD,)),
    "PileUpPtRef": (0.001, 0.022, EVERYWHERE),
    "RelativeBal": (0.006, 0.006, EVERYWHERE),
    "RelativeFSR": (0.004, 0.003, (ENDCAP, FORWARD, HADRON_FORWARD)),
    "RelativeJEREC1": (0.005, 0.004, (ENDCAP,)),
    "RelativeJEREC2": (0.012, 0.010, (FORWARD,)),
    "RelativeJERHF": (0.020, 0.010, (HADRON_FORWARD,)),
    "RelativePtBB": (0.005, 0.001, (BARREL,)),
    "RelativePtEC1": (0.006, 0.002, (ENDCAP,)),
    "RelativePtEC2": (0.012, 0.004, (FORWARD,)),
    "RelativePtHF": (0.015, 0.008, (HADRON_FORWARD,)),
    "RelativeSample": (0.007, 0.006, (ENDCAP, FORWARD, HADRON_FORWARD)),
    "RelativeStatEC": (0.004, 0.002, (ENDCAP, FORWARD)),
    "RelativeStatFSR": (0.003, 0.002, EVERYWHERE),
    "RelativeStatHF": (0.010, 0.004, (HADRON_FORWARD,)),
    "SinglePionECAL": (0.009, 0.0, EVERYWHERE),
    "SinglePionHCAL": (0.006, 0.0, EVERYWHERE),
    "TimePtEta": (0.005, 0.004, EVERYWHERE),
}
TOTAL = (0.021, 0.045, EVERYWHERE)
RESPONSE = (1.002, 0.997, 1.008, 1.015)  # L2Relative in each region


def family(campaign: str, asked: str, algorithm: str) -> list[schemav2.Correction]:
    """Make all levels and sources of a campaign, and `asked` if it is none of them."""
    made: dict[str, Any] = {
        "L1FastJet": _offset(),
        "L2Relative": _by_region(list(RESPONSE)),
        "L3Absolute": 1.0,
        "L2L3Residual": 1.0,
        "Total": _relative(*TOTAL),
        **{name: _relative(*values) for name, values in SOURCES.items()},
    }
    if asked == "PtResolution":
        made = {asked: _resolution()}
    elif asked == "ScaleFactor":
        made = {asked: _by_region([_scale_factor(value) for value in (1.1, 1.13, 1.3, 1.2)])}
    elif asked not in made:
        made[asked] = _relative(0.004, 0.004, EVERYWHERE)
    return [
        schemav2.Correction(
            name=f"{campaign}_{level}_{algorithm}",
            version=1,
            inputs=_inputs(level),
            output=variable("correction", "real", "factor, or relative uncertainty"),
            data=data,
        )
        for level, data in made.items()
    ]


def _inputs(level: str) -> list[schemav2.Variable]:
    """List the inputs of one level, in the order of the real files."""
    eta = variable("JetEta", "real", "pseudorapidity of the jet")
    pt = variable("JetPt", "real", "pT of the jet before the specific correction")
    rho = variable("Rho", "real", "energy density rho (as measure of PU)")
    if level == "L1FastJet":
        return [variable("JetA", "real", "area of the jet"), eta, pt, rho]
    if level == "PtResolution":
        return [eta, pt, rho]
    if level == "ScaleFactor":
        return [eta, variable("systematic", "string", "nom, up or down")]
    return [eta, pt]


def _formula(expression: str, *names: str) -> dict[str, Any]:
    """Write a formula of the named inputs, called x, y and z."""
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": list(names),
    }


def _by_region(contents: list[Any]) -> schemav2.Binning:
    """Choose by the size of pseudorapidity."""
    return schemav2.Binning.model_validate(
        {
            "nodetype": "binning",
            "input": "JetEta",
            "edges": ETA_EDGES,
            "content": [*reversed(contents), *contents],
            "flow": "clamp",
        }
    )


def _relative(high: float, low: float, regions: tuple[int, ...]) -> schemav2.Binning:
    """Make a relative uncertainty that falls with momentum, zero outside its regions."""
    x = f"max({LOWEST_GEV},min(x,{HIGHEST_GEV}))"
    inside = _formula(f"{high}+{low}*exp(-{x}/60)", "JetPt")
    return _by_region([inside if region in regions else 0.0 for region in EVERYWHERE])


def _offset() -> schemav2.Formula:
    """Take off what pile-up adds to a jet: 0.03 GeV per unit of rho times area."""
    return schemav2.Formula.model_validate(
        _formula(f"max(0.8,1-0.03*y*z/max(x,{LOWEST_GEV}))", "JetPt", "JetA", "Rho")
    )


def _resolution() -> schemav2.Formula:
    """Give the relative resolution of the transverse momentum."""
    return schemav2.Formula.model_validate(
        _formula(f"sqrt(0.002+0.55/max(x,{LOWEST_GEV})+(9+0.2*y)/max(x*x,81))", "JetPt", "Rho")
    )


def _scale_factor(value: float) -> dict[str, Any]:
    """Give the ratio of resolutions in data and simulation."""
    steps = {"nom": value, "up": value + 0.03, "down": value - 0.03}
    content = [{"key": key, "value": factor} for key, factor in steps.items()]
    return {"nodetype": "category", "input": "systematic", "content": content}

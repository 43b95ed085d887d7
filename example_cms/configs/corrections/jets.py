"""Jet energies, from the raw jet: scale, resolution, and the 27 sources of the scale.

Everything goes into the missing transverse momentum of the same kind, that of particle flow without
PUPPI, whose type-1 correction NanoAOD has made with such jets: the changes of all steps, the first
of which takes back what NanoAOD had applied, add up to corrected minus original jet.

What is carried is the share of a jet that counts in the type-1 correction: without its muons, above
15 GeV without them and not electromagnetic.

https://cms-jerc.web.cern.ch and arXiv:1607.03663
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from intccms.schema.base import Sys

from ..years import CORRECTIONS, Era, Year
from .quality import veto_map

__all__ = ["CORRELATED", "EACH_YEAR", "jes_sources", "jet_energy"]

ALGORITHM = "AK4PFchs"
MISSING = "MET"
SHARE = ("Jet", "type1_share")  # a column that the first correction makes
MOMENTUM = [("Jet", "pt"), ("Jet", "mass")]
UNCLUSTERED = [("MET", f"MetUnclustEnUpDelta{axis}") for axis in "XY"]

INPUTS: dict[str, list[Any]] = {
    "L1FastJet": [
        ("Jet", "area"),
        ("Jet", "eta"),
        ("Jet", "pt"),
        ("event", "fixedGridRhoFastjetAll"),
    ],
    "L2Relative": [("Jet", "eta"), ("Jet", "pt")],
    "L2L3Residual": [("Jet", "eta"), ("Jet", "pt")],
}
LEVELS_MC = ("L1FastJet", "L2Relative")  # L3Absolute is 1
LEVELS_DATA = (*LEVELS_MC, "L2L3Residual")

# Independent between years, as the statistics of the calibration samples are; the others are not.
EACH_YEAR = (
    "AbsoluteStat",
    "RelativeJEREC1",
    "RelativeJEREC2",
    "RelativePtEC1",
    "RelativePtEC2",
    "RelativeSample",
    "RelativeStatEC",
    "RelativeStatFSR",
    "RelativeStatHF",
    "TimePtEta",
)
CORRELATED = (
    "AbsoluteMPFBias",
    "AbsoluteScale",
    "FlavorQCD",
    "Fragmentation",
    "PileUpDataMC",
    "PileUpPtBB",
    "PileUpPtEC1",
    "PileUpPtEC2",
    "PileUpPtHF",
    "PileUpPtRef",
    "RelativeBal",
    "RelativeFSR",
    "RelativeJERHF",
    "RelativePtBB",
    "RelativePtHF",
    "SinglePionECAL",
    "SinglePionHCAL",
)

# Made by two corrections for the third: the simulation has no such columns.
COLUMNS = [("Jet", "jer_resolution"), ("Jet", "jer_scale_factor")]

TYPE1_GEV = 15.0  # without muons
MOST_ELECTROMAGNETIC = 0.9

MATCHED_DELTA_R = 0.2  # half the radius of the jets
MATCHED_SIGMAS = 3.0  # of the resolution
LEAST_FACTOR = 0.01  # so that no jet's momentum changes its sign


def jes_sources(year: Year) -> dict[str, str]:
    """Nuisance parameter of each source of the jet energy scale: ``{source: name}``."""
    correlated = {source: f"jes{source}" for source in CORRELATED}
    return correlated | {source: f"jes{source}_{year.name}" for source in EACH_YEAR}


def jet_energy(year: Year) -> list[dict[str, Any]]:
    """All object corrections of a year, in order."""
    return [
        _unclustered(),
        _type1(),
        _step("jec_raw", nominal_function=raw_factor, args=[("Jet", "rawFactor")]),
        *(_level(year, level, year.jec) for level in LEVELS_MC),
        *(_level(year, level, era.jec, era) for level in LEVELS_DATA for era in year.eras),
        veto_map(year),
        *_resolution(year),
        *([_dead_sectors()] if year.has_dead_sectors else []),
        _step(
            "jes",
            applies_to="mc",
            file=year.file("jet_jerc.json.gz"),
            args=[("Jet", "eta"), ("Jet", "pt")],
            resort=True,
            uncertainty_sources=[
                {"name": name, "key": f"{year.jec}_{source}_{ALGORITHM}", "is_delta": True}
                for source, name in jes_sources(year).items()
            ],
        ),
    ]


def _step(name: str, *, applies_to: str = "both", **settings: Any) -> dict[str, Any]:
    """Change the four-momenta of all jets by a factor."""
    return {
        "name": name,
        "type": "object",
        "target": MOMENTUM,
        "op": "mult",
        "applies_to": applies_to,
        "use_correctionlib": "file" in settings,
        "propagate_to": MISSING,
        "propagate_share": SHARE,
        **settings,
    }


def _unclustered() -> dict[str, Any]:
    """Energy outside of jets and leptons: NanoAOD's shift of the missing momentum.

    It comes first, as NanoAOD has made it for its own momentum; what the jets' corrections change
    is a vector that is added to either.
    """
    columns = [("MET", "pt"), ("MET", "phi")]
    return {
        "name": "met_unclustered",
        "type": "object",
        "target": columns,
        "op": "add",
        "use_correctionlib": False,
        "args": [*columns, *UNCLUSTERED],
        "uncertainty_sources": [
            {
                "name": "met_unclustered",
                "up_function": partial(unclustered, sign=1),
                "down_function": partial(unclustered, sign=-1),
            }
        ],
    }


def unclustered(
    pt: ak.Array, phi: ak.Array, dx: ak.Array, dy: ak.Array, *, sign: int
) -> tuple[ak.Array, ak.Array]:
    """Change of momentum and of angle when the shift is added, or taken away."""
    x, y = pt * np.cos(phi) + sign * dx, pt * np.sin(phi) + sign * dy
    turned = (np.arctan2(y, x) - phi + np.pi) % (2 * np.pi) - np.pi
    return np.hypot(x, y) - pt, turned


def _type1() -> dict[str, Any]:
    """Share of each jet in the type-1 correction, as NanoAOD's jet says it.

    That has the same calibration, and the missing momentum that NanoAOD has made with it is what
    the changes are added to. The jets below 15 GeV (``CorrT1METJet``) count in neither.
    https://twiki.cern.ch/twiki/bin/view/CMSPublic/WorkBookMetAnalysis; nanoAOD-tools,
    jetmetUncertainties.py.
    """
    columns = ("pt", "muonSubtrFactor", "chEmEF", "neEmEF")
    return {
        "name": "met_type1",
        "type": "object",
        "target": SHARE,
        "applies_to": "both",
        "use_correctionlib": False,
        "args": [("Jet", name) for name in columns],
        "nominal_function": type1_share,
    }


def type1_share(
    pt: ak.Array, muon_share: ak.Array, charged: ak.Array, neutral: ak.Array
) -> ak.Array:
    """Share without muons; 0 below 15 GeV and for electrons and photons."""
    share = 1 - muon_share
    return share * ((pt * share > TYPE1_GEV) & (charged + neutral < MOST_ELECTROMAGNETIC))


def _dead_sectors() -> dict[str, Any]:
    """Jets in two sectors of the endcap calorimeter (HEM 15 and 16) that lost their supply in 2018.

    What the jet group gives as uncertainty of simulation, which has them: one-sided.
    https://github.com/cms-nanoAOD/nanoAOD-tools, jetmetUncertainties.py, HEMIssue.
    """
    return _step(
        "dead_sectors",
        applies_to="mc",
        args=[("Jet", name) for name in ("pt", "eta", "phi", "jetId")],
        uncertainty_sources=[
            {
                "name": "dead_sectors_2018",
                "up_function": untouched,
                "down_function": in_dead_sectors,
            }
        ],
    )


def untouched(pt: ak.Array, eta: ak.Array, phi: ak.Array, jet_id: ak.Array) -> ak.Array:
    """Factor 1."""
    return ak.ones_like(pt)


def in_dead_sectors(pt: ak.Array, eta: ak.Array, phi: ak.Array, jet_id: ak.Array) -> ak.Array:
    """Factor of jets there: 0.8 within the tracker's range, 0.65 behind it."""
    is_there = (pt > 15) & (jet_id & 2 > 0) & (phi > -1.57) & (phi < -0.87)
    inner, outer = (eta > -2.5) & (eta < -1.3), (eta > -3.0) & (eta <= -2.5)
    return 1 - 0.2 * (is_there & inner) - 0.35 * (is_there & outer)


def raw_factor(raw: ak.Array) -> ak.Array:
    """Factor from NanoAOD's jet to the uncorrected one."""
    return 1 - raw


def _level(year: Year, level: str, campaign: str, era: Era | None = None) -> dict[str, Any]:
    """One level for simulation, or for the data of one era."""
    settings = {"file": year.file("jet_jerc.json.gz"), "key": f"{campaign}_{level}_{ALGORITHM}"}
    name, args = f"jec_{level}", INPUTS[level]
    if era is None:
        return _step(name, applies_to="mc", args=args, **settings)
    later = [other.first_run for other in year.eras if other.first_run > era.first_run]
    within = (era.first_run, min(later, default=np.iinfo(np.uint32).max))
    return _step(
        f"{name}_{era.name}",
        applies_to="data",
        args=[*args, ("event", "run")],
        transform_in=_without_run,
        transform_out=_only_runs(*within),
        resort=level == LEVELS_DATA[-1],
        **settings,
    )


def _without_run(*inputs: ak.Array) -> tuple[ak.Array, ...]:
    """Give the evaluator all but the run number, which is last."""
    return inputs[:-1]


def _only_runs(first: int, end: int) -> Callable[..., ak.Array]:
    """Make a function that leaves jets of other runs as they are."""

    def chosen(factor: ak.Array, *inputs: ak.Array) -> ak.Array:
        run = inputs[-1]
        is_in_era = (run >= first) & (run < end)
        return 1 + (factor - 1) * is_in_era

    return chosen


def _resolution(year: Year) -> list[dict[str, Any]]:
    """Smearing of simulated jets: resolution and scale factor as columns, then the factor."""
    rho = ("event", "fixedGridRhoFastjetAll")
    file = year.file("jet_jerc.json.gz")
    column: dict[str, Any] = {"type": "object", "applies_to": "mc", "op": "mult", "file": file}
    return [
        {
            **column,
            "name": "jer_resolution",
            "target": COLUMNS[0],
            "key": f"{year.jer}_PtResolution_{ALGORITHM}",
            "args": [("Jet", "eta"), ("Jet", "pt"), rho],
        },
        {
            **column,
            "name": "jer_scale_factor",
            "target": COLUMNS[1],
            "key": f"{year.jer}_ScaleFactor_{ALGORITHM}",
            "args": [("Jet", "eta"), Sys()],
            "nominal_idx": "nom",
            "uncertainty_sources": [
                {"name": f"jer_{year.name}", "up_and_down_idx": ["up", "down"]}
            ],
        },
        _step(
            "jer",
            applies_to="mc",
            file=f"{CORRECTIONS}/jer_smear.json.gz",
            key="JERSmear",
            args=[("Jet", None), ("GenJet", None), rho, ("event", "seed"), *COLUMNS],
            transform_in=smearing_inputs,
            transform_out=positive,
            resort=True,
        ),
    ]


def smearing_inputs(
    jets: ak.Array,
    generated: ak.Array,
    rho: ak.Array,
    seed: ak.Array,
    resolution: ak.Array,
    scale_factor: ak.Array,
) -> tuple[ak.Array, ...]:
    """Give ``JERSmear`` its inputs, the momentum of the generated jet being -1 without a match.

    A match is within half the jet's radius and three standard deviations of the resolution.
    """
    has_index = (jets.genJetIdx >= 0) & (jets.genJetIdx < ak.num(generated.pt, axis=1))
    matched = generated[ak.mask(jets.genJetIdx, has_index)]
    delta_phi = (jets.phi - matched.phi + np.pi) % (2 * np.pi) - np.pi
    is_near = (jets.eta - matched.eta) ** 2 + delta_phi**2 < MATCHED_DELTA_R**2
    is_alike = abs(jets.pt - matched.pt) < MATCHED_SIGMAS * resolution * jets.pt
    gen_pt = ak.fill_none(ak.mask(matched.pt, is_near & is_alike), -1.0)
    return jets.pt, jets.eta, gen_pt, rho, seed, resolution, scale_factor


def positive(factor: ak.Array, *_: ak.Array) -> ak.Array:
    """Keep momenta positive where the random part is large."""
    return ak.where(factor < LEAST_FACTOR, LEAST_FACTOR, factor)

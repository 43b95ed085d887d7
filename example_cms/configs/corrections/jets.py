"""Jet energies, from the raw jet: scale, resolution, and the 27 sources of the scale.

Ordinary and large jets are calibrated alike, and each source moves both. Everything of the ordinary
ones goes into the missing transverse momentum of the same kind, that of particle flow without
PUPPI, whose type-1 correction NanoAOD has made with such jets: the changes of all steps, the first
of which takes back what NanoAOD had applied, add up to corrected minus original jet.

What is carried is the share of a jet that counts in the type-1 correction: without its muons, above
15 GeV without them and not electromagnetic.

https://cms-jerc.web.cern.ch and arXiv:1607.03663
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from intccms.schema.base import Sys

from ..years import CORRECTIONS, Era, Year
from .quality import veto_map

__all__ = ["CORRELATED", "EACH_YEAR", "jes_sources", "jet_energy"]

MISSING = "MET"
SHARE = ("Jet", "type1_share")  # a column that the first correction makes
UNCLUSTERED = [("MET", f"MetUnclustEnUpDelta{axis}") for axis in "XY"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Jets of one radius."""

    collection: str
    algorithm: str
    file: str
    levels: tuple[str, ...]  # of simulation; L3Absolute is 1
    generated: str
    index: str  # of the generated jet
    radius: float
    prefix: str = ""  # of the names of corrections
    carried: dict[str, Any] | None = None  # into the missing momentum

    def columns(self, *names: str) -> list[tuple[str, str]]:
        """Refer to columns."""
        return [(self.collection, name) for name in names]

    def inputs(self, level: str) -> list[tuple[str, str]]:
        """Refer to the inputs of a level, in the order of the file."""
        if level == "L1FastJet":
            return [*self.columns("area", "eta", "pt"), RHO]
        return self.columns("eta", "pt")


RHO = ("event", "fixedGridRhoFastjetAll")
ORDINARY = Kind(
    collection="Jet",
    algorithm="AK4PFchs",
    file="jet_jerc.json.gz",
    levels=("L1FastJet", "L2Relative"),
    generated="GenJet",
    index="genJetIdx",
    radius=0.4,
    carried={"propagate_to": MISSING, "propagate_share": SHARE},
)
# PUPPI has taken the pile-up out already: L1FastJet is 1. The jets are made of the particles that
# the ordinary ones are made of, so only one of them is carried.
LARGE = Kind(
    collection="FatJet",
    algorithm="AK8PFPuppi",
    file="fatJet_jerc.json.gz",
    levels=("L2Relative",),
    generated="GenJetAK8",
    index="genJetAK8Idx",
    radius=0.8,
    prefix="fatjet_",
)
RESIDUAL = "L2L3Residual"

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
COLUMNS = ("jer_resolution", "jer_scale_factor")

TYPE1_GEV = 15.0  # without muons
MOST_ELECTROMAGNETIC = 0.9

MATCHED_RADII = 0.5  # half the radius of the jets
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
        *_levels(ORDINARY, year),
        veto_map(year),
        *_after_levels(ORDINARY, year),
        *_levels(LARGE, year),
        *_after_levels(LARGE, year),
    ]


def _levels(kind: Kind, year: Year) -> list[dict[str, Any]]:
    """Take back what NanoAOD has applied; scale simulation, and the data of each era."""
    raw = {"nominal_function": raw_factor, "args": kind.columns("rawFactor")}
    return [
        _step(kind, "jec_raw", applies_to="both", **raw),
        *(_level(kind, year, level, year.jec) for level in kind.levels),
        *(
            _level(kind, year, level, era.jec, era)
            for level in (*kind.levels, RESIDUAL)
            for era in year.eras
        ),
    ]


def _after_levels(kind: Kind, year: Year) -> list[dict[str, Any]]:
    """Resolution and what is uncertain about simulated jets."""
    return [
        *_resolution(kind, year),
        *([_dead_sectors(kind)] if year.has_dead_sectors else []),
        _step(
            kind,
            "jes",
            file=year.file(kind.file),
            args=kind.columns("eta", "pt"),
            resort=True,
            uncertainty_sources=[
                {"name": name, "key": f"{year.jec}_{source}_{kind.algorithm}", "is_delta": True}
                for source, name in jes_sources(year).items()
            ],
        ),
    ]


def _step(kind: Kind, name: str, *, applies_to: str = "mc", **settings: Any) -> dict[str, Any]:
    """Change the four-momenta of all jets by a factor."""
    return {
        "name": f"{kind.prefix}{name}",
        "type": "object",
        "target": kind.columns("pt", "mass"),
        "op": "mult",
        "applies_to": applies_to,
        "use_correctionlib": "file" in settings,
        **(kind.carried or {}),
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


def _dead_sectors(kind: Kind) -> dict[str, Any]:
    """Jets in two sectors of the endcap calorimeter (HEM 15 and 16) that lost their supply in 2018.

    What the jet group gives as uncertainty of simulation, which has them: one-sided.
    https://github.com/cms-nanoAOD/nanoAOD-tools, jetmetUncertainties.py, HEMIssue; of large jets
    likewise.
    """
    return _step(
        kind,
        "dead_sectors",
        args=kind.columns("pt", "eta", "phi", "jetId"),
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


def _level(
    kind: Kind, year: Year, level: str, campaign: str, era: Era | None = None
) -> dict[str, Any]:
    """One level for simulation, or for the data of one era."""
    key = f"{campaign}_{level}_{kind.algorithm}"
    name, args, settings = f"jec_{level}", kind.inputs(level), {"file": year.file(kind.file)}
    if era is None:
        return _step(kind, name, args=args, key=key, **settings)
    later = [other.first_run for other in year.eras if other.first_run > era.first_run]
    within = (era.first_run, min(later, default=np.iinfo(np.int64).max))
    return _step(
        kind,
        f"{name}_{era.name}",
        applies_to="data",
        args=[*args, ("event", "run")],
        key=key,
        transform_in=_without_run,
        transform_out=_only_runs(*within),
        resort=level == RESIDUAL,
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


def _resolution(kind: Kind, year: Year) -> list[dict[str, Any]]:
    """Smearing of simulated jets: resolution and scale factor as columns, then the factor.

    The group's files have those of ordinary jets only. The scale factor is that of all jets; the
    resolution matters for the match, and for large jets without one.
    """
    file, jets = year.file(ORDINARY.file), ORDINARY.algorithm
    column: dict[str, Any] = {"type": "object", "applies_to": "mc", "op": "mult", "file": file}
    resolution, scale_factor = kind.columns(*COLUMNS)
    objects: list[Any] = [(kind.collection, None), (kind.generated, None)]
    return [
        {
            **column,
            "name": f"{kind.prefix}jer_resolution",
            "target": resolution,
            "key": f"{year.jer}_PtResolution_{jets}",
            "args": [*kind.columns("eta", "pt"), RHO],
        },
        {
            **column,
            "name": f"{kind.prefix}jer_scale_factor",
            "target": scale_factor,
            "key": f"{year.jer}_ScaleFactor_{jets}",
            "args": [*kind.columns("eta"), Sys()],
            "nominal_idx": "nom",
            "uncertainty_sources": [
                {"name": f"jer_{year.name}", "up_and_down_idx": ["up", "down"]}
            ],
        },
        _step(
            kind,
            "jer",
            file=f"{CORRECTIONS}/jer_smear.json.gz",
            key="JERSmear",
            args=[*objects, RHO, ("event", "seed"), resolution, scale_factor],
            transform_in=partial(smearing_inputs, index=kind.index, radius=kind.radius),
            transform_out=positive,
            resort=True,
        ),
    ]


def smearing_inputs(
    jets: ak.Array,
    generated: ak.Array,
    *others: ak.Array,
    index: str = ORDINARY.index,
    radius: float = ORDINARY.radius,
) -> tuple[ak.Array, ...]:
    """Give ``JERSmear`` its inputs, the momentum of the generated jet being -1 without a match.

    A match is within half the jet's radius and three standard deviations of the resolution.
    `others` are the density of pile-up, the event's seed, the resolution and the scale factor.
    """
    resolution = others[2]
    has_index = (jets[index] >= 0) & (jets[index] < ak.num(generated.pt, axis=1))
    matched = generated[ak.mask(jets[index], has_index)]
    delta_phi = (jets.phi - matched.phi + np.pi) % (2 * np.pi) - np.pi
    is_near = (jets.eta - matched.eta) ** 2 + delta_phi**2 < (MATCHED_RADII * radius) ** 2
    is_alike = abs(jets.pt - matched.pt) < MATCHED_SIGMAS * resolution * jets.pt
    gen_pt = ak.fill_none(ak.mask(matched.pt, is_near & is_alike), -1.0)
    return jets.pt, jets.eta, gen_pt, *others


def positive(factor: ak.Array, *_: ak.Array) -> ak.Array:
    """Keep momenta positive where the random part is large."""
    return ak.where(factor < LEAST_FACTOR, LEAST_FACTOR, factor)

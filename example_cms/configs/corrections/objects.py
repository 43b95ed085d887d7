"""Pile-up, muons and the early firing of the first trigger level."""

from __future__ import annotations

from typing import Any

import awkward as ak

from intccms.schema.base import Sys

from ..years import Year

__all__ = ["muons", "pileup", "prefiring"]

# Each belongs to a cut of `good_muons` (the isolation's impact parameter cuts are part of both
# identifications); the trigger's depends on the year.
IDENTIFICATION = "NUM_TightID_DEN_TrackerMuons"
ISOLATION = "NUM_LooseRelTkIso_DEN_HighPtIDandIPCut"


def pileup(year: Year) -> dict[str, Any]:
    """Weight of the number of interactions; the inelastic cross section is varied by 4.6 %."""
    return {
        "name": "pileup",
        "type": "event",
        "file": year.file("puWeights.json.gz"),
        "key": year.pileup,
        "args": [("Pileup", "nTrueInt"), Sys()],
        "uncertainty_sources": [{"name": "pileup"}],
    }


def absolute_eta(eta: ak.Array, pt: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Give a muon scale factor what it is measured in: bins of |η| and transverse momentum."""
    return abs(eta), pt


def muons(year: Year) -> list[dict[str, Any]]:
    """Scale factors of identification, isolation and trigger."""
    keys = {"id": IDENTIFICATION, "iso": ISOLATION, "trigger": year.muon_trigger}
    return [
        {
            "name": f"muon_{what}",
            "type": "event",
            "file": year.file("muon_Z.json.gz"),
            "key": key,
            "args": [("Muon", "eta"), ("Muon", "pt"), Sys()],
            "transform_in": absolute_eta,
            "reduce": "prod",
            "uncertainty_sources": [
                {"name": f"muon_{what}", "up_and_down_idx": ["systup", "systdown"]}
            ],
        }
        for what, key in keys.items()
    ]


def prefiring(year: Year) -> dict[str, Any]:
    """Probability that the bunch crossing before did not fire the trigger, as NanoAOD has it.

    Electromagnetic calorimeter (2016, 2017) and muons (all years).
    """
    return {
        "name": "prefiring",
        "type": "event",
        "use_correctionlib": False,
        "args": [("L1PreFiringWeight", name) for name in ("Nom", "Up", "Dn")],
        "nominal_function": nominal_probability,
        "uncertainty_sources": [
            {
                "name": f"prefiring_{year.name}",
                "up_function": upper_probability,
                "down_function": lower_probability,
            }
        ],
    }


def nominal_probability(nominal: ak.Array, up: ak.Array, down: ak.Array) -> ak.Array:
    """First of three weights."""
    return nominal


def upper_probability(nominal: ak.Array, up: ak.Array, down: ak.Array) -> ak.Array:
    """Second of three weights."""
    return up


def lower_probability(nominal: ak.Array, up: ak.Array, down: ak.Array) -> ak.Array:
    """Third of three weights."""
    return down

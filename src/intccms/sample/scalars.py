"""Branches with one value an event: missing momentum, vertices, filters, triggers, weights."""

from __future__ import annotations

import numpy as np

from intccms.sample import fields, fillers, pileup
from intccms.sample.kinematics import Array
from intccms.sample.reconstruction import Reconstructed
from intccms.sample.slots import Jagged

__all__ = ["scalars", "simulated", "weight_vectors"]

SCALE_WEIGHTS = (1.35, 1.2, 1.1, 1.18, 1.0, 0.88, 0.92, 0.84, 0.76)
N_PDF_WEIGHTS = 33
MISSING = {  # worse and better estimates of the missing momentum: extra resolution in GeV
    "MET": 8.0,
    "RawMET": 12.0,
    "RawPuppiMET": 6.0,
    "ChsMET": 10.0,
    "TkMET": 25.0,
}
MISSING_VARIATIONS = {"JES": 3.0, "JER": 3.0, "Unclustered": 5.0}


def scalars(events: Reconstructed, rng: np.random.Generator, *, is_data: bool) -> dict[str, Array]:
    """Make the branches that data and simulation share."""
    n_events = len(events)
    interactions = pileup.drawn(n_events, rng, is_data=is_data)
    vertices = np.maximum(1, rng.normal(0.72 * interactions, 2.5)).astype(np.int32)
    rho = np.maximum(0.5, 0.62 * interactions + rng.normal(2, 2.2, n_events))
    out = {
        "PV_npvs": vertices + 1,
        "PV_npvsGood": vertices,
        "fixedGridRhoFastjetAll": fillers.rounded(rho),
        "fixedGridRhoFastjetCentral": fillers.rounded(0.95 * rho),
        **_missing(events, rng),
        **_triggers(events, rng),
        **_filters(n_events, rng),
        **fillers.drawn(fields.event_fields(), n_events, rng),
    }
    if not is_data:
        out["Pileup_nTrueInt"] = fillers.rounded(interactions, 15)
        out["Pileup_nPU"] = rng.poisson(interactions).astype(np.int32)
    return out


def simulated(
    events: Reconstructed, gen_weight: Array, rng: np.random.Generator
) -> dict[str, Array]:
    """Make the branches that only simulation has, the generator's weight among them."""
    quarks, hard = events.hard.quarks, events.hard
    activity = (quarks["pt"] * quarks.valid).sum(axis=1)
    missing_pt, missing_phi = _polar(hard.invisible)
    weight = gen_weight.astype(np.float32)
    return {
        "genWeight": weight,
        "Generator_weight": weight,
        "LHEWeight_originalXWGTUP": weight,
        "GenMET_pt": missing_pt,
        "GenMET_phi": missing_phi,
        "LHE_HT": fillers.rounded(activity),
        "LHE_HTIncoming": fillers.rounded(activity),
        "LHE_Vpt": fillers.rounded(hard.boson_pt),
        **fillers.drawn(fields.simulated_fields(), len(events), rng),
    }


def weight_vectors(events: Reconstructed, rng: np.random.Generator) -> dict[str, Jagged]:
    """Make the relative weights of scale, shower and parton-density variations."""
    n_events = len(events)
    strength = 0.7 + 0.15 * np.log(np.maximum(events.hard.pair_mass, 100) / 400)
    scale = np.power(np.array(SCALE_WEIGHTS), strength[:, np.newaxis])
    densities = fillers.drawn({"": fillers.normal(1, 0.02)}, n_events * N_PDF_WEIGHTS, rng)[""]
    densities = densities.reshape(n_events, N_PDF_WEIGHTS)
    densities[:, 0] = 1
    shower = fillers.drawn({"": fillers.normal(1, 0.06)}, n_events * 4, rng)[""]
    shower = shower.reshape(n_events, 4)
    vectors = {"LHEScaleWeight": scale, "LHEPdfWeight": densities, "PSWeight": shower}
    return {
        name: Jagged(np.full(n_events, values.shape[1]), {"": fillers.rounded(values, 8).ravel()})
        for name, values in vectors.items()
    }


def _polar(vector: Array) -> tuple[Array, Array]:
    """Size and azimuth of transverse vectors, as NanoAOD stores them."""
    return (
        fillers.rounded(np.hypot(*vector)),
        fillers.rounded(np.arctan2(vector[1], vector[0])),
    )


def _missing(events: Reconstructed, rng: np.random.Generator) -> dict[str, Array]:
    """Make PuppiMET, its variations, and the other estimates."""
    n_events = len(events)
    total = (events.jets["pt"] * events.jets.valid).sum(axis=1) + rng.normal(900, 150, n_events)
    out = {}
    out["PuppiMET_pt"], out["PuppiMET_phi"] = _polar(events.missing)
    for name, size in MISSING_VARIATIONS.items():
        shift = size * rng.normal(0, 1, (2, n_events))
        for direction, sign in (("Up", 1), ("Down", -1)):
            pt, phi = _polar(events.missing + sign * shift)
            out[f"PuppiMET_pt{name}{direction}"] = pt
            out[f"PuppiMET_phi{name}{direction}"] = phi
    for name, worse in MISSING.items():
        vector = events.missing + worse * rng.normal(0, 1, (2, n_events))
        out[f"{name}_pt"], out[f"{name}_phi"] = _polar(vector)
        out[f"{name}_sumEt"] = fillers.rounded(np.maximum(50, 1.4 * total), 8)
    out["PuppiMET_sumEt"] = fillers.rounded(np.maximum(50, total), 8)
    return out


def _triggers(events: Reconstructed, rng: np.random.Generator) -> dict[str, Array]:
    """Make trigger bits: the muon paths follow the muons, the others fire at random."""
    n_events = len(events)
    muons = events.muons
    chance = rng.random((4, n_events))
    fired = events.has_trigger
    isolated = muons.valid & muons["isolated"] & (muons["pt"] > 26)
    single = isolated.any(axis=1)
    out = {
        "HLT_Mu50": fired & (chance[0] < 0.985),
        "HLT_TkMu50": fired & (chance[1] < 0.985),
        "HLT_IsoMu24": single & (chance[2] < 0.92),
        "HLT_IsoTkMu24": single & (chance[3] < 0.92),
        "HLT_IsoMu27": (isolated & (muons["pt"] > 29)).any(axis=1) & (chance[2] < 0.92),
        "HLT_OldMu100": fired & (muons["pt"] > 105).any(axis=1),
        "HLT_TkMu100": fired & (muons["pt"] > 105).any(axis=1),
    }
    for name, rate in fields.trigger_rates().items():
        out[f"HLT_{name}"] = rng.random(n_events, dtype=np.float32) < rate
    return out


def _filters(n_events: int, rng: np.random.Generator) -> dict[str, Array]:
    """Make the bits of the missing-momentum filters; nearly all events pass."""
    out = {f"Flag_{name}": rng.random(n_events, dtype=np.float32) > 5e-4 for name in fields.FLAGS}
    out["Flag_METFilters"] = np.logical_and.reduce(list(out.values()))
    return out

"""Branches with one value an event: missing momentum, vertices, triggers, weights."""

from __future__ import annotations

import numpy as np

from intccms.sample import pileup
from intccms.sample.events import fillers
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Jagged
from intccms.sample.settings import settings

__all__ = ["scalars", "simulated", "weight_vectors"]

N_PDF_WEIGHTS = 33


def scalars(events: Batch, rng: np.random.Generator, *, is_data: bool) -> dict[str, Array]:
    """Make the branches that data and simulation share, and pile-up for simulation."""
    n_events = len(events)
    interactions = pileup.drawn(n_events, rng, is_data=is_data)
    vertices = np.maximum(1, rng.normal(0.72 * interactions, 2.5)).astype(np.int32)
    rho = np.maximum(0.5, 0.62 * interactions + rng.normal(2, 2.2, n_events))
    out = {
        "PV_npvs": vertices + np.int32(1),
        "PV_npvsGood": vertices,
        "fixedGridRhoFastjetAll": fillers.rounded(rho),
        "fixedGridRhoFastjetCentral": fillers.rounded(0.95 * rho),
        **_missing(events, rng),
        **_muon_triggers(events, rng),
        **fillers.drawn(fillers.fields("event"), n_events, rng),
    }
    if not is_data:
        out["Pileup_nTrueInt"] = fillers.rounded(interactions, 15)
        out["Pileup_nPU"] = rng.poisson(interactions).astype(np.int32)
    return out


def simulated(events: Batch, gen_weight: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Make the branches that only simulation has, the generator's weight among them."""
    activity = (events["quarks"]["pt"] * events["quarks"].valid).sum(axis=1)
    weight = gen_weight.astype(np.float32)
    return {
        **dict.fromkeys(("genWeight", "Generator_weight", "LHEWeight_originalXWGTUP"), weight),
        **_polar("GenMET", events.values["invisible"]),
        **dict.fromkeys(("LHE_HT", "LHE_HTIncoming"), fillers.rounded(activity)),
        "LHE_Vpt": fillers.rounded(events.values["boson_pt"]),
        **fillers.drawn(fillers.fields("simulated"), len(events), rng),
    }


def weight_vectors(events: Batch, rng: np.random.Generator) -> dict[str, Jagged]:
    """Make the relative weights of scale, shower and parton-density variations."""
    n_events = len(events)
    strength = 0.7 + 0.15 * np.log(np.maximum(events.values["pair_mass"], 100) / 400)
    vectors = {
        "LHEScaleWeight": np.power(settings()["scale_weights"], strength[:, np.newaxis]),
        "LHEPdfWeight": _varied(n_events, N_PDF_WEIGHTS, 0.02, rng),
        "PSWeight": _varied(n_events, 4, 0.06, rng),
    }
    return {
        name: Jagged(np.full(n_events, values.shape[1]), {"": fillers.rounded(values, 8).ravel()})
        for name, values in vectors.items()
    }


def _varied(n_events: int, n_weights: int, width: float, rng: np.random.Generator) -> Array:
    """Draw weights about one."""
    drawn = fillers.drawn({"": fillers.levels("normal", 1, width)}, n_events * n_weights, rng)
    return drawn[""].reshape(n_events, n_weights)


def _polar(name: str, vector: Array, suffix: str = "") -> dict[str, Array]:
    """Give size and azimuth of transverse vectors, shape (n_events, 2), as NanoAOD stores them."""
    pt, phi = np.hypot(*vector.T), np.arctan2(vector[:, 1], vector[:, 0])
    return {f"{name}_pt{suffix}": fillers.rounded(pt), f"{name}_phi{suffix}": fillers.rounded(phi)}


def _missing(events: Batch, rng: np.random.Generator) -> dict[str, Array]:
    """Make PuppiMET, its variations, and the other estimates."""
    jets, vector = events["jets"], events.values["missing"]
    total = (jets["pt"] * jets.valid).sum(axis=1) + rng.normal(900, 150, len(events))
    total = fillers.rounded(np.maximum(50, total), 8)
    out = _polar("PuppiMET", vector) | {"PuppiMET_sumEt": total}
    for name, size in settings()["missing_variations"].items():
        shift = size * rng.normal(0, 1, vector.shape)
        out |= _polar("PuppiMET", vector + shift, f"{name}Up")
        out |= _polar("PuppiMET", vector - shift, f"{name}Down")
    for name, worse in settings()["missing"].items():
        out |= _polar(name, vector + worse * rng.normal(0, 1, vector.shape))
        out[f"{name}_sumEt"] = total
    return out


def _muon_triggers(events: Batch, rng: np.random.Generator) -> dict[str, Array]:
    """Make the bits of the muon paths; all others fire at random."""
    muons, fired = events["muons"], events.values["has_trigger"]
    isolated = muons.valid & muons["isolated"]
    single = (isolated & (muons["pt"] > 26)).any(axis=1)
    hard = fired & (muons["pt"] > 105).any(axis=1)
    chance = rng.random((4, len(events)))
    return {
        "HLT_Mu50": fired & (chance[0] < 0.985),
        "HLT_TkMu50": fired & (chance[1] < 0.985),
        "HLT_IsoMu24": single & (chance[2] < 0.92),
        "HLT_IsoTkMu24": single & (chance[3] < 0.92),
        "HLT_IsoMu27": (isolated & (muons["pt"] > 29)).any(axis=1) & (chance[2] < 0.92),
        "HLT_OldMu100": hard,
        "HLT_TkMu100": hard,
    }

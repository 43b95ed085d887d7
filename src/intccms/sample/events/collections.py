"""NanoAOD's collections from reconstructed events, with the column types of real files."""

from __future__ import annotations

import numpy as np

from intccms.sample.events import fillers, matching
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Jagged, Slots
from intccms.sample.response import raw_factor

__all__ = ["collections"]

Columns = dict[str, Array]
PROMPT_LINE = 1 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13  # from the hard process, first and last copy
ONLY_SIMULATION = ("gen", "Gen", "hadron", "parton", "nBHadrons", "nCHadrons")


def collections(
    events: Batch, rho: Array, rng: np.random.Generator, *, is_data: bool
) -> dict[str, Jagged]:
    """Make every collection of the file; data has nothing of what was generated.

    `rho` is each event's density of pile-up in GeV, on which the calibration of jets depends.
    """
    jets, large = events["jets"], events["large_jets"]
    gen_jets, gen_index = matching.generated(jets, 10.0)
    gen_large, large_index = matching.generated(large, 100.0)
    made = {
        "Muon": (events["muons"], _muons(events, rng)),
        "Electron": (events["electrons"], _charged(events["electrons"], 11)),
        "Tau": (events["taus"], _typed(np.int32, charge=_flat(events["taus"], "charge"))),
        "Jet": (jets, _jets(events, rng) | _typed(np.int32, genJetIdx=gen_index[jets.valid])),
        "FatJet": (
            large,
            _fat_jets(large, rng) | _typed(np.int32, genJetAK8Idx=large_index[large.valid]),
        ),
        "GenJet": (gen_jets, _flavours(gen_jets, np.uint8)),
        "GenJetAK8": (gen_large, _flavours(gen_large, np.uint8)),
        "GenPart": (events["particles"], _particles(events["particles"])),
    }
    out = {}
    for name, (slots, columns) in made.items():
        counts = slots.valid.sum(axis=1)
        columns |= fillers.drawn(fillers.fields(name), int(counts.sum()), rng)
        columns |= _floats(**{axis: _flat(slots, axis) for axis in ("pt", "eta", "phi", "mass")})
        if name == "Jet":
            columns["rawFactor"] = _raw_factor(columns, np.repeat(rho, counts))
        kept = {k: v for k, v in columns.items() if not (is_data and k.startswith(ONLY_SIMULATION))}
        if not (is_data and name.startswith(ONLY_SIMULATION)):
            out[name] = Jagged(counts, kept)
    return out


def _flat(slots: Slots, name: str) -> Array:
    return np.asarray(slots[name][slots.valid])


def _floats(**columns: Array) -> Columns:
    return {name: fillers.rounded(values) for name, values in columns.items()}


def _typed(dtype: type, **columns: Array) -> Columns:
    return {name: np.asarray(values).astype(dtype) for name, values in columns.items()}


def _charged(slots: Slots, pdg_id: int) -> Columns:
    charge = _flat(slots, "charge")
    return _typed(np.int32, charge=charge, pdgId=-pdg_id * charge)


def _flavours(slots: Slots, dtype: type) -> Columns:
    flavour = _flat(slots, "flavour")
    heavy = np.where(flavour < 6, flavour // 4 * flavour, 0)  # 4 and 5 stay, others become 0
    return _typed(np.int32, partonFlavour=flavour) | _typed(dtype, hadronFlavour=heavy)


def _muons(events: Batch, rng: np.random.Generator) -> Columns:
    slots = events["muons"]
    flat = slots.jagged().columns
    good, tight = flat["isolated"], flat["tight"]
    chance = rng.random(len(good))
    near = matching.near(slots, events["jets"], 0.4)[slots.valid]
    relative = np.where(good, 0.08 * chance**3, 0.2 + 2 * chance)
    mini = np.where(good, 2 + (chance > 0.1) + (chance > 0.3), chance < 0.3)
    particle_flow = np.where(good, 4 + (chance > 0.2), chance < 0.2)
    tracker = np.where(good, 2, chance < 0.3)
    particle = matching.muon_particles(events)[slots.valid]
    return {
        **_charged(slots, 13),
        **_typed(np.int32, jetIdx=near, genPartIdx=particle),
        **_typed(np.uint8, genPartFlav=np.where(flat["is_prompt"], 1, 5)),
        **_typed(np.bool_, tightId=tight, mediumId=tight | (chance < 0.6)),
        **_typed(np.bool_, looseId=tight | (chance < 0.99), mediumPromptId=tight | (chance < 0.5)),
        **_typed(np.uint8, miniIsoId=mini, pfIsoId=particle_flow, tkIsoId=tracker),
        **_floats(miniPFRelIso_all=relative, miniPFRelIso_chg=0.6 * relative),
        **_floats(pfRelIso03_all=relative, pfRelIso03_chg=0.6 * relative),
        **_floats(pfRelIso04_all=1.2 * relative, tkRelIso=0.5 * relative),
    }


def _jets(events: Batch, rng: np.random.Generator) -> Columns:
    slots = events["jets"]
    flat = slots.jagged().columns
    score = np.maximum(flat["deep_b"], 0)
    # correlated with DeepCSV, but never on the other side of 0.3
    deep_flavour = np.where(score > 0.5, 0.3 + 0.7 * score**2, 0.3 * score)
    deep_flavour = np.clip(deep_flavour * rng.uniform(0.95, 1, len(score)), 1e-4, 0.9999)
    from_pileup = flat["gen_pt"] <= 0
    muon = matching.near(slots, events["muons"], 0.4)[slots.valid]
    quality = np.where(from_pileup & (flat["pt"] < 50), 0, 7)
    return {
        **_flavours(slots, np.int32),
        **_floats(btagDeepB=flat["deep_b"], puIdDisc=np.where(from_pileup, -0.6, 0.9)),
        **_floats(btagDeepFlavB=np.where(flat["deep_b"] < 0, -1, deep_flavour)),
        **_typed(np.int32, jetId=flat["jet_id"], puId=quality, muonIdx1=muon, nMuons=muon >= 0),
    }


def _raw_factor(columns: Columns, rho: Array) -> Array:
    """Undo the calibration; stored exactly, so that applying it again gives the same jet."""
    pt, eta, area = (columns[name].astype(np.float64) for name in ("pt", "eta", "area"))
    return raw_factor(pt, eta, area, rho.astype(np.float64)).astype(np.float32)


def _fat_jets(slots: Slots, rng: np.random.Generator) -> Columns:
    flat = slots.jagged().columns
    n_bottoms = flat["content"] % 2
    top, boson, softdrop = flat["top_score"], flat["w_score"], flat["softdrop"]
    second = 0.04 + 0.12 * rng.random(len(top))
    return {
        **_floats(msoftdrop=softdrop, particleNet_mass=1.02 * softdrop),
        **_floats(particleNet_TvsQCD=top, deepTag_TvsQCD=0.9 * top + 0.05),
        **_floats(particleNet_WvsQCD=boson, deepTag_WvsQCD=0.9 * boson + 0.05),
        **_floats(tau2=second, tau3=second * np.where(top > 0.5, 0.5, 0.8)),
        **_typed(np.int32, hadronFlavour=5 * n_bottoms),
        **_typed(np.uint8, nBHadrons=n_bottoms, nCHadrons=0 * n_bottoms),
    }


def _particles(slots: Slots) -> Columns:
    flat = slots.jagged().columns
    links = {name: flat[name] for name in ("pdgId", "genPartIdxMother", "status")}
    return _typed(np.int32, **links, statusFlags=np.full(len(flat["pdgId"]), PROMPT_LINE))

"""NanoAOD's collections from reconstructed events, with the column types of real files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intccms.sample import fields, fillers, matching
from intccms.sample.kinematics import Array
from intccms.sample.reconstruction import Reconstructed
from intccms.sample.slots import Jagged, Slots

__all__ = ["collections"]


def collections(
    events: Reconstructed, rng: np.random.Generator, *, is_data: bool
) -> dict[str, Jagged]:
    """Make every collection of the file; data has none of the generated ones."""
    links = matching.linked(events)
    out = {
        "Muon": _muons(events, links, rng),
        "Electron": _electrons(events, rng),
        "Tau": _taus(events, rng),
        "Jet": _jets(events, links, rng),
        "FatJet": _fat_jets(events, rng),
    }
    if is_data:
        return out
    _add_truth(out, events, links)
    return out | {
        "GenJet": _gen_jets(links.gen_jets),
        "GenJetAK8": _gen_jets(links.gen_large_jets),
        "GenPart": _particles(events.hard.particles),
    }


@dataclass(frozen=True, slots=True)
class _Columns:
    """Flat columns of one collection under construction."""

    jagged: Jagged
    columns: dict[str, Array]

    def add(self, dtype: type, **columns: Array) -> None:
        for name, values in columns.items():
            self.columns[name] = np.asarray(values).astype(dtype)

    def add_floats(self, **columns: Array) -> None:
        for name, values in columns.items():
            self.columns[name] = fillers.rounded(values)

    def finished(self, collection: str, rng: np.random.Generator) -> Jagged:
        drawn = fillers.drawn(fields.collection_fields(collection), self.jagged.size, rng)
        return Jagged(self.jagged.counts, self.columns | drawn)


def _started(slots: Slots) -> _Columns:
    """Begin a collection with its kinematics."""
    jagged = slots.jagged()
    columns = _Columns(jagged, {})
    columns.add_floats(**{name: jagged.columns[name] for name in ("pt", "eta", "phi", "mass")})
    return columns


def _muons(events: Reconstructed, links: matching.Links, rng: np.random.Generator) -> Jagged:
    out = _started(events.muons)
    flat = out.jagged.columns
    charge, isolated, tight = flat["charge"], flat["isolated"], flat["tight"]
    chance = rng.random(out.jagged.size)
    out.add(np.int32, charge=charge, pdgId=-13 * charge, jetIdx=links.muon_jet)
    out.add(np.bool_, tightId=tight, mediumId=tight | (chance < 0.6))
    out.add(np.bool_, looseId=tight | (chance < 0.99), mediumPromptId=tight | (chance < 0.5))
    level = np.where(isolated, 2 + (chance > 0.1) + (chance > 0.3), chance < 0.3)
    out.add(np.uint8, miniIsoId=level, pfIsoId=np.where(isolated, 4 + (chance > 0.2), chance < 0.2))
    out.add(np.uint8, tkIsoId=np.where(isolated, 2, chance < 0.3))
    relative = np.where(isolated, 0.08 * chance**3, 0.2 + 2 * chance)
    out.add_floats(miniPFRelIso_all=relative, miniPFRelIso_chg=0.6 * relative)
    out.add_floats(pfRelIso03_all=relative, pfRelIso03_chg=0.6 * relative)
    out.add_floats(pfRelIso04_all=1.2 * relative, tkRelIso=0.5 * relative)
    return out.finished("Muon", rng)


def _electrons(events: Reconstructed, rng: np.random.Generator) -> Jagged:
    out = _started(events.electrons)
    charge, quality = (out.jagged.columns[name] for name in ("charge", "quality"))
    out.add(np.int32, charge=charge, pdgId=-11 * charge, jetIdx=np.full(len(charge), -1))
    level = 4 - (quality < 0.3) - (quality < 0.15) - (quality < 0.08) - (quality < 0.03)
    out.add(np.int32, cutBased=level)
    out.add(np.bool_, mvaFall17V2Iso_WP80=quality > 0.25, mvaFall17V2Iso_WP90=quality > 0.12)
    out.add(np.bool_, mvaFall17V2Iso_WPL=quality > 0.03)
    return out.finished("Electron", rng)


def _taus(events: Reconstructed, rng: np.random.Generator) -> Jagged:
    out = _started(events.taus)
    charge = out.jagged.columns["charge"]
    out.add(np.int32, charge=charge, jetIdx=np.full(len(charge), -1))
    return out.finished("Tau", rng)


def _jets(events: Reconstructed, links: matching.Links, rng: np.random.Generator) -> Jagged:
    out = _started(events.jets)
    flat = out.jagged.columns
    score = np.maximum(flat["deep_b"], 0)
    shift = np.where(score > 0.5, 1, -1) * 0.3 * rng.random(out.jagged.size)
    # correlated with DeepCSV, but never on the other side of 0.3
    flavour_score = np.where(score > 0.5, 0.3 + 0.7 * score**2, 0.3 * score)
    flavour_score = np.clip(flavour_score + 0.1 * shift * score, 1e-4, 0.9999)
    out.add_floats(btagDeepB=flat["deep_b"])
    out.add_floats(btagDeepFlavB=np.where(flat["deep_b"] < 0, -1, flavour_score))
    from_pileup = flat["gen_pt"] <= 0
    out.add_floats(puIdDisc=np.where(from_pileup, -0.6, 0.9))
    out.add(np.int32, jetId=flat["jet_id"], puId=np.where(from_pileup & (flat["pt"] < 50), 0, 7))
    has_muon = links.jet_muon >= 0
    out.add(np.int32, muonIdx1=links.jet_muon, nMuons=has_muon)
    nowhere = np.full(len(score), -1)
    out.add(np.int32, electronIdx1=nowhere, electronIdx2=nowhere, nElectrons=0 * nowhere)
    return out.finished("Jet", rng)


def _fat_jets(events: Reconstructed, rng: np.random.Generator) -> Jagged:
    out = _started(events.large_jets)
    flat = out.jagged.columns
    top, boson = flat["top_score"], flat["w_score"]
    out.add_floats(msoftdrop=flat["softdrop"], particleNet_mass=flat["softdrop"] * 1.02)
    out.add_floats(particleNet_TvsQCD=top, particleNet_WvsQCD=boson)
    out.add_floats(deepTag_TvsQCD=0.9 * top + 0.05, deepTag_WvsQCD=0.9 * boson + 0.05)
    second = 0.04 + 0.12 * rng.random(out.jagged.size)
    out.add_floats(tau2=second, tau3=second * np.where(top > 0.5, 0.5, 0.8))
    out.add(np.int32, jetId=np.full(len(top), 6))
    return out.finished("FatJet", rng)


def _add_truth(out: dict[str, Jagged], events: Reconstructed, links: matching.Links) -> None:
    """Add what only simulation knows about reconstructed objects."""
    flavour = events.jets.jagged().columns["flavour"]
    heavy = np.where(np.isin(flavour, (4, 5)), flavour, 0)
    out["Jet"].columns.update(
        hadronFlavour=heavy.astype(np.int32),
        partonFlavour=np.where(flavour == 0, 0, flavour).astype(np.int32),
        genJetIdx=links.jet_gen.astype(np.int32),
    )
    bottoms = (events.large_jets.jagged().columns["content"] % 2).astype(np.uint8)
    out["FatJet"].columns.update(
        genJetAK8Idx=links.large_gen.astype(np.int32),
        hadronFlavour=(5 * bottoms).astype(np.int32),
        nBHadrons=bottoms,
        nCHadrons=np.zeros(len(bottoms), dtype=np.uint8),
    )
    prompt = events.muons.jagged().columns["is_prompt"]
    out["Muon"].columns.update(
        genPartIdx=links.muon_particle.astype(np.int32),
        genPartFlav=np.where(prompt, 1, 5).astype(np.uint8),
    )
    for name in ("Electron", "Tau"):
        size = out[name].size
        flav = np.full(size, 1 if name == "Electron" else 5, dtype=np.uint8)
        out[name].columns.update(genPartIdx=np.full(size, -1, dtype=np.int32), genPartFlav=flav)


def _gen_jets(slots: Slots) -> Jagged:
    out = _started(slots)
    flavour = out.jagged.columns["flavour"]
    out.add(np.int32, partonFlavour=flavour)
    out.add(np.uint8, hadronFlavour=np.where(np.isin(flavour, (4, 5)), flavour, 0))
    return Jagged(out.jagged.counts, out.columns)


def _particles(slots: Slots) -> Jagged:
    """Write GenPart; all lines are prompt, from the hard process, first and last copies."""
    out = _started(slots)
    flat = out.jagged.columns
    out.add(np.int32, **{name: flat[name] for name in ("pdgId", "genPartIdxMother", "status")})
    out.add(np.int32, statusFlags=np.full(out.jagged.size, 1 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13))
    return Jagged(out.jagged.counts, out.columns)

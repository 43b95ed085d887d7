"""All branches of one file, with the names and the column types of real ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from nanosample.calibration import pileup_drawn, raw_factor
from nanosample.settings import settings
from nanosample.vectors import Array, Batch, Slots

Columns = dict[str, Array]
Rng = np.random.Generator
N_LEVELS = 32  # values a filler can take: five bits an object compress well
N_PDF_WEIGHTS = 33
PROMPT_LINE = 1 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13  # from the hard process, first and last copy
ONLY_SIMULATION = ("gen", "Gen", "hadron", "parton", "nBHadrons", "nCHadrons")


@dataclass(frozen=True, slots=True)
class Jagged:
    """A collection as NanoAOD stores it: how many objects each event has, and flat columns."""

    counts: Array
    columns: Columns


@dataclass(frozen=True, slots=True)
class Table:
    """The branches of ``Events``, and the sections for ``LuminosityBlocks``."""

    scalars: Columns
    collections: dict[str, Jagged]  # a column "" is the branch that bears the collection's name
    sections: Array  # run and section, shape (n, 2)

    def __len__(self) -> int:
        """Count the events."""
        return len(self.scalars["event"])

    def without(self, names: Collection[str]) -> Table:
        """Leave out some scalars and collections."""
        scalars = {name: values for name, values in self.scalars.items() if name not in names}
        jagged = {name: values for name, values in self.collections.items() if name not in names}
        return Table(scalars, jagged, self.sections)

    def only(self, branches: Mapping[str, Collection[str]]) -> Table:
        """Keep some fields of each collection, those of ``event`` being the other branches.

        A field can be a branch (``HLT_Mu50``), a column of a collection, or a whole vector.
        """
        names = {f"{name}_{field}" for name, fields in branches.items() for field in fields}
        names.update(branches.get("event", ()))
        scalars = {name: values for name, values in self.scalars.items() if name in names}
        jagged = {}
        for name, one in self.collections.items():
            columns = {
                key: values
                for key, values in one.columns.items()
                if (f"{name}_{key}" if key else name) in names
            }
            if columns:
                jagged[name] = Jagged(one.counts, columns)
        return Table(scalars, jagged, self.sections)

    def padded(self, n_branches: int, rng: Rng) -> Table:
        """Add trigger bits and jet columns that mean nothing until there are `n_branches`."""
        n_columns = sum(1 + len(jagged.columns) for jagged in self.collections.values())
        missing = max(0, n_branches - n_columns - len(self.scalars))
        bit, level = levels("bool", {0: 0.9, 1: 0.1}), levels("uniform", 0, 1)
        bits = {f"HLT_Padding{i:04d}": bit for i in range(missing - missing // 2)}
        more = {f"padding{i:04d}": level for i in range(missing // 2)}
        jets = self.collections["Jet"]
        jets = Jagged(jets.counts, jets.columns | drawn(more, int(jets.counts.sum()), rng))
        scalars = self.scalars | drawn(bits, len(self), rng)
        return Table(scalars, self.collections | {"Jet": jets}, self.sections)


def table(
    events: Batch,
    identity: tuple[Array, Array],
    gen_weight: Array | None,
    sections: Array,
    rng: Rng,
) -> Table:
    """Make the branches of one file.

    Parameters
    ----------
    identity
        Each event's run and section, shape (n_events, 2), and its number.
    gen_weight
        Generator weights of simulation, None for data.
    sections
        All sections of the file, also those without an event.
    """
    place, number = identity
    scalars = {
        **_typed(np.uint32, run=place[:, 0], luminosityBlock=place[:, 1]),
        **_typed(np.uint64, event=number),
        **_scalars(events, rng, is_data=gen_weight is None),
    }
    rho = scalars["fixedGridRhoFastjetAll"]
    jagged = _collections(events, rho, rng, is_data=gen_weight is None)
    if gen_weight is not None:
        scalars |= _simulated(events, gen_weight, rng)
        jagged |= _weight_vectors(events, rng)
    return Table(scalars, jagged, sections)


def levels(distribution: str, *parameters: Any) -> Array:
    """Make the values of a distribution, each equally likely.

    ``normal`` (mean, width), ``exponential`` (mean), ``uniform`` (low, high), or the name of an
    integer type with the share of each of its values.
    """
    steps = (np.arange(N_LEVELS) + 0.5) / N_LEVELS
    if distribution == "normal":
        gauss = NormalDist(*parameters)
        return np.array([gauss.inv_cdf(float(step)) for step in steps], dtype=np.float32)
    if distribution == "exponential":
        return np.asarray(-parameters[0] * np.log(1 - steps), dtype=np.float32)
    if distribution == "uniform":
        low, high = parameters
        return np.asarray(low + (high - low) * steps, dtype=np.float32)
    edges = np.cumsum(list(parameters[0].values()))
    index = np.searchsorted(edges / edges[-1], steps, side="right")
    return np.array(list(parameters[0]), dtype=distribution)[index]


@cache
def fields(collection: str) -> Columns:
    """Return the fillers of a collection, of ``event`` or of ``simulated`` events."""
    return {name: levels(*how) for name, how in settings()["fields"].get(collection, {}).items()}


def drawn(fillers: Mapping[str, Array], size: int, rng: Rng) -> Columns:
    """Draw `size` values of each of several fillers: branches that no selection reads."""
    return {
        name: values[np.frombuffer(rng.bytes(size), dtype=np.uint8) % N_LEVELS]
        for name, values in fillers.items()
    }


def rounded(values: Array, bits: int = 10) -> Array:
    """Keep `bits` bits of the mantissa of 32-bit floats, as NanoAOD does to save space."""
    drop = 23 - bits
    words = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32(1 << (drop - 1))
    return ((words + half) & np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)).view(np.float32)


def _floats(**columns: Array) -> Columns:
    return {name: rounded(values) for name, values in columns.items()}


def _typed(dtype: type, **columns: Array) -> Columns:
    return {name: np.asarray(values).astype(dtype) for name, values in columns.items()}


def _scalars(events: Batch, rng: Rng, *, is_data: bool) -> Columns:
    """Make the branches that data and simulation share, and pile-up for simulation."""
    n_events = len(events)
    interactions = pileup_drawn(n_events, rng, is_data=is_data)
    vertices = np.maximum(1, rng.normal(0.72 * interactions, 2.5)).astype(np.int32)
    rho = np.maximum(0.5, 0.62 * interactions + rng.normal(2, 2.2, n_events))
    out = {
        "PV_npvs": vertices + np.int32(1),
        "PV_npvsGood": vertices,
        **_floats(fixedGridRhoFastjetAll=rho, fixedGridRhoFastjetCentral=0.95 * rho),
        **_missing(events, rng),
        **_muon_triggers(events, rng),
        **drawn(fields("event"), n_events, rng),
    }
    if not is_data:
        out["Pileup_nTrueInt"] = rounded(interactions, 15)
        out["Pileup_nPU"] = rng.poisson(interactions).astype(np.int32)
    return out


def _simulated(events: Batch, gen_weight: Array, rng: Rng) -> Columns:
    """Make the branches that only simulation has, the generator's weight among them."""
    activity = (events["quarks"]["pt"] * events["quarks"].valid).sum(axis=1)
    weight = gen_weight.astype(np.float32)
    return {
        **dict.fromkeys(("genWeight", "Generator_weight", "LHEWeight_originalXWGTUP"), weight),
        **_polar("GenMET", events.values["invisible"]),
        **_floats(LHE_HT=activity, LHE_HTIncoming=activity, LHE_Vpt=events.values["boson_pt"]),
        **drawn(fields("simulated"), len(events), rng),
    }


def _weight_vectors(events: Batch, rng: Rng) -> dict[str, Jagged]:
    """Make the relative weights of scale, shower and parton-density variations."""
    n_events = len(events)
    strength = 0.7 + 0.15 * np.log(np.maximum(events.values["pair_mass"], 100) / 400)
    vectors = {"LHEScaleWeight": np.power(settings()["scale_weights"], strength[:, np.newaxis])}
    for name, n_weights, width in (("LHEPdfWeight", N_PDF_WEIGHTS, 0.02), ("PSWeight", 4, 0.06)):
        one = drawn({"": levels("normal", 1, width)}, n_events * n_weights, rng)
        vectors[name] = one[""].reshape(n_events, n_weights)
    return {
        name: Jagged(np.full(n_events, values.shape[1]), {"": rounded(values, 8).ravel()})
        for name, values in vectors.items()
    }


def _polar(name: str, vector: Array, suffix: str = "") -> Columns:
    """Give size and azimuth of transverse vectors, shape (n_events, 2), as NanoAOD stores them."""
    pt, phi = np.hypot(*vector.T), np.arctan2(vector[:, 1], vector[:, 0])
    return _floats(**{f"{name}_pt{suffix}": pt, f"{name}_phi{suffix}": phi})


def _missing(events: Batch, rng: Rng) -> Columns:
    """Make PuppiMET, its variations, and the other estimates."""
    jets, vector = events["jets"], events.values["missing"]
    total = (jets["pt"] * jets.valid).sum(axis=1) + rng.normal(900, 150, len(events))
    total = rounded(np.maximum(50, total), 8)
    out = _polar("PuppiMET", vector) | {"PuppiMET_sumEt": total}
    for name, size in settings()["missing_variations"].items():
        shift = size * rng.normal(0, 1, vector.shape)
        out |= _polar("PuppiMET", vector + shift, f"{name}Up")
        out |= _polar("PuppiMET", vector - shift, f"{name}Down")
    for name, worse in settings()["missing"].items():
        out |= _polar(name, vector + worse * rng.normal(0, 1, vector.shape))
        out[f"{name}_sumEt"] = total
    return out


def _muon_triggers(events: Batch, rng: Rng) -> Columns:
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


def _collections(events: Batch, rho: Array, rng: Rng, *, is_data: bool) -> dict[str, Jagged]:
    """Make every collection of the file; data has nothing of what was generated.

    `rho` is each event's density of pile-up in GeV, on which the calibration of jets depends.
    """
    jets, large = events["jets"], events["large_jets"]
    gen_jets, gen_index = _generated_jets(jets, 10.0)
    gen_large, large_index = _generated_jets(large, 100.0)
    made = {
        "Muon": (events["muons"], _muons(events, rng)),
        "Electron": (events["electrons"], _charged(events["electrons"], 11)),
        "Tau": (events["taus"], _typed(np.int32, charge=events["taus"].flat("charge"))),
        "Jet": (jets, _jets(events, rng) | _typed(np.int32, genJetIdx=gen_index)),
        "FatJet": (large, _fat_jets(large, rng) | _typed(np.int32, genJetAK8Idx=large_index)),
        "GenJet": (gen_jets, _flavours(gen_jets, np.uint8)),
        "GenJetAK8": (gen_large, _flavours(gen_large, np.uint8)),
        "GenPart": (events["particles"], _particles(events["particles"])),
    }
    out = {}
    for name, (slots, columns) in made.items():
        counts = slots.valid.sum(axis=1)
        columns |= drawn(fields(name), int(counts.sum()), rng)
        columns |= _floats(**{axis: slots.flat(axis) for axis in ("pt", "eta", "phi", "mass")})
        if "rawFactor" in columns:  # undone exactly: the calibration gives the same jet again
            pt, eta, area = (columns[axis].astype(np.float64) for axis in ("pt", "eta", "area"))
            density = np.repeat(rho, counts).astype(np.float64) * (name == "Jet")  # no PUPPI
            columns["rawFactor"] = raw_factor(pt, eta, area, density).astype(np.float32)
        if name == "Jet":
            rest = 1 - sum(columns[name] for name in ("chHEF", "neHEF", "neEmEF", "muEF"))
            columns |= _floats(chEmEF=0.1 * np.maximum(rest, 0), muonSubtrFactor=columns["muEF"])
        if not (is_data and name.startswith(ONLY_SIMULATION)):
            hidden = ONLY_SIMULATION if is_data else ()
            shown = {key: one for key, one in columns.items() if not key.startswith(hidden)}
            out[name] = Jagged(counts, shown)
    return out


def _generated_jets(jets: Slots, lowest_gev: float) -> tuple[Slots, Array]:
    """Make the generated jets of reconstructed ones, and each one's place among them."""
    exists = jets.valid & (jets["gen_pt"] > lowest_gev)
    order = np.argsort(np.where(exists, -jets["gen_pt"], np.inf), axis=1, kind="stable")
    place = np.where(exists, np.argsort(order, axis=1, kind="stable"), -1)
    return jets.with_columns(exists, pt=jets["gen_pt"]).by_pt(), place[jets.valid]


def _charged(slots: Slots, pdg_id: int) -> Columns:
    charge = slots.flat("charge")
    return _typed(np.int32, charge=charge, pdgId=-pdg_id * charge)


def _flavours(slots: Slots, dtype: type) -> Columns:
    flavour = slots.flat("flavour")
    heavy = np.where(flavour < 6, flavour // 4 * flavour, 0)  # 4 and 5 stay, others become 0
    return _typed(np.int32, partonFlavour=flavour) | _typed(dtype, hadronFlavour=heavy)


def _muons(events: Batch, rng: Rng) -> Columns:
    muons, particles = events["muons"], events["particles"]
    good, tight = muons.flat("isolated"), muons.flat("tight")
    chance = rng.random(len(good))
    near = muons.index_of(events["jets"], 0.4)[muons.valid]
    relative = np.where(good, 0.08 * chance**3, 0.2 + 2 * chance)
    mini = np.where(good, 2 + (chance > 0.1) + (chance > 0.3), chance < 0.3)
    particle_flow = np.where(good, 4 + (chance > 0.2), chance < 0.2)
    tracker = np.where(good, 2, chance < 0.3)
    generated = particles.valid & (np.abs(particles["pdgId"]) == 13)
    index = muons.index_of(particles.with_columns(generated), 0.1)
    line = np.cumsum(particles.valid, axis=1) - 1  # once empty candidates are gone
    line = np.where(index < 0, -1, np.take_along_axis(line, np.maximum(index, 0), axis=1))
    return {
        **_charged(muons, 13),
        **_typed(np.int32, jetIdx=near, genPartIdx=line[muons.valid]),
        **_typed(np.uint8, genPartFlav=np.where(muons.flat("is_prompt"), 1, 5)),
        **_typed(np.bool_, tightId=tight, mediumId=tight | (chance < 0.6)),
        **_typed(np.bool_, looseId=tight | (chance < 0.99), mediumPromptId=tight | (chance < 0.5)),
        **_typed(np.uint8, miniIsoId=mini, pfIsoId=particle_flow, tkIsoId=tracker),
        **_floats(miniPFRelIso_all=relative, miniPFRelIso_chg=0.6 * relative),
        **_floats(pfRelIso03_all=relative, pfRelIso03_chg=0.6 * relative),
        **_floats(pfRelIso04_all=1.2 * relative, tkRelIso=0.5 * relative),
    }


def _jets(events: Batch, rng: Rng) -> Columns:
    jets = events["jets"]
    deep_b = jets.flat("deep_b")
    score = np.maximum(deep_b, 0)
    # correlated with DeepCSV, but never on the other side of 0.3
    deep_flavour = np.where(score > 0.5, 0.3 + 0.7 * score**2, 0.3 * score)
    deep_flavour = np.clip(deep_flavour * rng.uniform(0.95, 1, len(score)), 1e-4, 0.9999)
    from_pileup = jets.flat("gen_pt") <= 0
    muon = jets.index_of(events["muons"], 0.4)[jets.valid]
    quality = np.where(from_pileup & (jets.flat("pt") < 50), 0, 7)
    return {
        **_flavours(jets, np.int32),
        **_floats(btagDeepB=deep_b, puIdDisc=np.where(from_pileup, -0.6, 0.9)),
        **_floats(btagDeepFlavB=np.where(deep_b < 0, -1, deep_flavour)),
        **_typed(np.int32, jetId=jets.flat("jet_id"), puId=quality),
        **_typed(np.int32, muonIdx1=muon, nMuons=muon >= 0),
    }


def _fat_jets(slots: Slots, rng: Rng) -> Columns:
    n_bottoms = slots.flat("content") % 2
    top, boson, softdrop = (slots.flat(name) for name in ("top_score", "w_score", "softdrop"))
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
    columns = {name: slots.flat(name) for name in ("pdgId", "genPartIdxMother", "status")}
    return _typed(np.int32, **columns, statusFlags=np.full(len(columns["status"]), PROMPT_LINE))

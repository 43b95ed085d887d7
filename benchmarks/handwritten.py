"""The rival: one `ProcessorABC` that does just this analysis, as an expert writes it.

Cuts that no jet energy moves come first, the jets of what is left are evaluated as plain columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import hist
import numpy as np
from coffea.processor import IterativeExecutor, ProcessorABC, Runner
from numpy.typing import NDArray

from benchmarks.setup import EDGES, MIN_JET_PT, make_config, source_keys

__all__ = ["HandWritten", "Physics", "run"]

Array = NDArray[Any]
MUON_FILE = "example_opendata/corrections/muon_Z.json.gz"
MUON_KEYS = {
    "muon_id_sf": "NUM_TightID_DEN_TrackerMuons",
    "muon_iso_sf": "NUM_LooseRelIso_DEN_TightIDandIPCut",
    "muon_trigger_sf": "NUM_Mu50_or_TkMu50_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose",
}
PILEUP = ("example_opendata/corrections/puWeights.json.gz", "Collisions16_UltraLegacy_goldenJSON")
CONSTANTS = {  # processes, up, down
    "xsec_ttbar": (("ttbar_semilep", "ttbar_had", "ttbar_lep"), 1.048, 0.945),
    "xsec_wjets": (("wjets",), 1.038, 0.962),
    "lumi": (None, 1.012, 0.988),
}


@dataclass(frozen=True)
class Physics:
    """What is to be done: where corrections are, and which variations there are."""

    base_dir: str
    n_sources: int = 0
    weights: bool = False


def _p4(pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Momenta and energies in float64, one column an object."""
    pt, eta, phi, mass = (np.asarray(one, dtype=np.float64) for one in (pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)])


def _first(objects: ak.Array) -> Array:
    return _p4(*(np.asarray(objects[name][:, 0]) for name in ("pt", "eta", "phi", "mass")))


class HandWritten(ProcessorABC):  # type: ignore[misc]
    """The analysis of `benchmarks.setup`, by hand."""

    def __init__(self, physics: Physics) -> None:
        self.physics = physics

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Select, vary and fill one chunk."""
        dataset = events.metadata["dataset"]
        sumw = float(np.sum(np.asarray(events.genWeight, dtype=np.float64)))
        histogram = hist.Hist(
            hist.axis.Variable(EDGES, name="mtt"),
            hist.axis.StrCategory([], name="variation", growth=True),
            storage=hist.storage.Weight(),
        )
        chosen = self._untouched(events)
        if chosen is not None:
            self._fill(histogram, dataset, *chosen)
        return {dataset: {"sumw": sumw, "n": len(events), "histogram": histogram}}

    def postprocess(self, accumulator: Any) -> Any:
        """Do nothing."""

    def _untouched(self, events: ak.Array) -> tuple[ak.Array, ak.Array, ak.Array, ak.Array] | None:
        """Apply every cut that jet energies do not move."""
        events = events[events.HLT.TkMu50 & (events.PuppiMET.pt > 50)]
        muons = events.Muon
        good = (muons.pt > 55) & (abs(muons.eta) < 2.4) & muons.tightId & (muons.miniIsoId > 1)
        one = ak.sum(good, axis=1) == 1
        events, muons = events[one], muons[good][one]
        fatjets = events.FatJet
        good = (fatjets.pt > 500) & (fatjets.particleNet_TvsQCD > 0.5)
        one = (ak.sum(good, axis=1) == 1) & (muons.pt[:, 0] + events.PuppiMET.pt > 150)
        events, muons, fatjets = events[one], muons[one], fatjets[good][one]
        jets = events.Jet
        good = (jets.jetId >= 4) & (jets.btagDeepB > 0.5)
        two = ak.sum(good, axis=1) >= 2
        if not ak.any(two):
            return None
        return events[two], muons[two], fatjets[two], jets[good][two]

    def _fill(self, histogram: hist.Hist, dataset: str, *chosen: ak.Array) -> None:
        events, muons, fatjets, jets = chosen
        counts = np.asarray(ak.num(jets.pt))
        columns = [np.asarray(ak.flatten(jets[n])) for n in ("pt", "eta", "phi", "mass")]
        met = np.asarray(events.PuppiMET.pt)
        nothing = np.zeros_like(met)
        rest = _first(muons) + _first(fatjets)
        rest += _p4(met, nothing, np.asarray(events.PuppiMET.phi), nothing)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        weights = dict(self._weights(events, muons, dataset))
        for variation, pt in self._shifted(columns[0], columns[1]):
            passed = pt > MIN_JET_PT
            rows = np.flatnonzero(np.add.reduceat(passed, starts, dtype=np.int64) >= 2)
            order = np.where(passed, np.arange(len(pt)), len(pt))
            leading = np.minimum.reduceat(order, starts)[rows]
            p4 = rest[:, rows] + _p4(pt[leading], *(one[leading] for one in columns[1:]))
            mtt = np.sqrt(np.maximum(p4[3] ** 2 - p4[0] ** 2 - p4[1] ** 2 - p4[2] ** 2, 0.0))
            named = weights if variation == "nominal" else {variation: weights["nominal"]}
            for name, weight in named.items():
                histogram.fill(mtt=mtt, variation=name, weight=weight[rows])

    def _shifted(self, pt: Array, eta: Array) -> Iterator[tuple[str, Array]]:
        """Give the momenta of the jets in each variation, nominal first."""
        yield "nominal", pt
        if not self.physics.n_sources:
            return
        file, keys = source_keys(self.physics.n_sources)
        corrections = _corrections(self.physics.base_dir, file)
        exact = [eta.astype(np.float64), pt.astype(np.float64)]
        for name, key in keys.items():
            relative = corrections[key].evaluate(*exact)
            yield f"{name}_up", (pt * (1 + relative)).astype(pt.dtype)
            yield f"{name}_down", (pt * (1 - relative)).astype(pt.dtype)

    def _weights(
        self, events: ak.Array, muons: ak.Array, dataset: str
    ) -> Iterator[tuple[str, Array]]:
        nominal = np.asarray(events.genWeight, dtype=np.float64)
        factors: dict[str, list[Array]] = {}  # nominal, up, down
        pileup = _corrections(self.physics.base_dir, PILEUP[0])[PILEUP[1]]
        n_true = np.asarray(events.Pileup.nTrueInt, dtype=np.float64)
        words = ("nominal", "up", "down") if self.physics.weights else ("nominal",)
        factors["pileup"] = [pileup.evaluate(n_true, word) for word in words]
        inputs = [np.asarray(x[:, 0], dtype=np.float64) for x in (abs(muons.eta), muons.pt)]
        words = ("nominal", "systup", "systdown") if self.physics.weights else ("nominal",)
        for name, key in MUON_KEYS.items():
            muon = _corrections(self.physics.base_dir, MUON_FILE)[key]
            factors[name] = [muon.evaluate(*inputs, word) for word in words]
        for one in factors.values():
            nominal = nominal * one[0]
        yield "nominal", nominal
        if not self.physics.weights:
            return
        for name, (central, up, down) in factors.items():
            yield f"{name}_up", nominal / central * up
            yield f"{name}_down", nominal / central * down
        for name, (processes, up_factor, down_factor) in CONSTANTS.items():
            if processes is None or dataset in processes:
                yield f"{name}_up", nominal * up_factor
                yield f"{name}_down", nominal * down_factor


_read: dict[str, correctionlib.CorrectionSet] = {}


def _corrections(base_dir: str, file: str) -> correctionlib.CorrectionSet:
    path = f"{base_dir}/{file}"
    if path not in _read:
        _read[path] = correctionlib.CorrectionSet.from_file(path)
    return _read[path]


def run(
    physics: Physics, files: dict[str, list[str]], chunk_size: int
) -> tuple[int, dict[tuple[str, str], Array]]:
    """Run it through coffea's `Runner`; return the number of events and the histograms."""
    fileset = {name: {"treename": "Events", "files": paths} for name, paths in files.items()}
    runner = Runner(IterativeExecutor(status=False), chunksize=chunk_size)
    answer = runner(fileset, HandWritten(physics))
    table = make_config(Path(physics.base_dir))
    xsecs = {one["name"]: one["cross_sections"] for one in table["datasets"]["datasets"]}
    histograms = {}
    for name, sums in answer.items():
        scale = xsecs[name] * table["general"]["lumi"] / sums["sumw"]
        for variation in sums["histogram"].axes["variation"]:
            view = sums["histogram"][{"variation": variation}].view(flow=True)
            histograms[name, variation] = np.stack(
                [view["value"] * scale, view["variance"] * scale**2]
            )
    return sum(sums["n"] for sums in answer.values()), histograms

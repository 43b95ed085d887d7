"""Real NanoAOD and real corrections: raw jets, JEC, smearing with generator jets, MET, weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
from coffea.lumi_tools import LumiMask

from intccms.schema.base import ObjVar, Sys
from tests.configurations import plain

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA = Path(os.environ.get("INTCCMS_SHARED_DATA", SHARED))
JERC, SMEAR = "corrections/JME_2018_UL_jet_jerc.json.gz", "corrections/JME_jer_smear.json.gz"
GOLDEN = "golden/Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt"
MC, RUN_A, JER = (
    f"Summer19UL18_{name}_AK4PFchs" for name in ("V5_MC_{}", "RunA_V5_DATA_{}", "JRV2_MC_{}")
)
SIZES = {"pileup": "Collisions18_UltraLegacy_goldenJSON", "muon": "NUM_TightID_DEN_TrackerMuons"}
WEIGHTS = {
    "pileup": "corrections/LUM_2018_UL_puWeights.json.gz",
    "muon": "corrections/MUO_2018_UL_muon_Z.json.gz",
    "b_tag": "corrections/BTV_2018_UL_btagging.json.gz",
}


@lru_cache
def library(path):  # noqa: ANN001, ANN201 - as users write them
    return correctionlib.CorrectionSet.from_file(str(DATA / path))


def smearing(jets, rho, event, word):  # noqa: ANN001, ANN201
    jerc, smear = library(JERC), library(SMEAR)["JERSmear"]
    counts = ak.num(jets)
    pt, eta = (np.asarray(ak.flatten(x), dtype="f8") for x in (jets.pt, jets.eta))
    rhos, events = (np.repeat(np.asarray(x), counts) for x in (rho, event))
    resolution = jerc[JER.format("PtResolution")].evaluate(eta, pt, rhos.astype("f8"))
    size = jerc[JER.format("ScaleFactor")].evaluate(eta, word)
    gen = np.asarray(ak.fill_none(ak.flatten(jets.matched_gen.pt), -1.0), dtype="f8")
    ids = events.astype("i8")
    return ak.unflatten(
        smear.evaluate(pt, eta, gen, rhos.astype("f8"), ids, resolution, size), counts
    )


def shape_of(word):  # noqa: ANN001, ANN201
    """The source does not concern charm: the factor of such a jet stays the central one."""

    def factor(flavour, eta, pt, tag):  # noqa: ANN001, ANN202
        shape = library(WEIGHTS["b_tag"])["deepJet_shape"]
        flat = [np.asarray(ak.flatten(x)) for x in (flavour, eta, pt, tag)]
        charm = flat[0] == 4
        varied = shape.evaluate(word, np.where(charm, 0, flat[0]), *flat[1:])
        central = shape.evaluate("central", *flat)
        return ak.unflatten(np.where(charm, central, varied), ak.num(pt))

    return factor


def certified(run, lumi, lumifile):  # noqa: ANN001, ANN201
    return LumiMask(lumifile)(run, lumi)


def in_reach(muons):  # noqa: ANN001, ANN201
    return muons.tightId & (abs(muons.eta) < 2.4) & (muons.pt > 15)


RHO, JET_PT = ("event", "fixedGridRhoFastjetAll"), ObjVar("Jet", "pt")
RAW_JET = [ObjVar("Jet", "area"), ObjVar("Jet", "eta"), JET_PT, RHO]
B_JET = [("Jet", name) for name in ("hadronFlavour", "eta", "pt", "btagDeepFlavB")]
CARRIED: dict[str, Any] = {
    "type": "object",
    "target": [JET_PT, ObjVar("Jet", "mass")],
    "propagate_to": "MET",
}
config = {
    "general": {"lumi": {"2018": 59830.0}, "weight_branch": "genWeight", "chunk_size": 64},
    "datasets": {
        "datasets": [
            {
                "name": "ttbar",
                "directories": "nano/",
                "file_pattern": "nanoAOD_2015_CMS_Open_Data_ttbar.root",
                "cross_sections": 831.76,
                "years": "2018",
            },
            {
                "name": "drell_yan",
                "directories": "nano/",
                "file_pattern": "nano_dy.root",
                "cross_sections": 6077.22,
                "years": "2018",
            },
            {
                "name": "data",
                "directories": "nano/",
                "file_pattern": "nano_dimuon.root",
                "is_data": True,
                "years": "2018",
                "lumi_mask": {
                    "function": certified,
                    "use": [("event", "run"), ("event", "luminosityBlock")],
                    "static_kwargs": {"lumifile": GOLDEN},
                },
            },
        ]
    },
    "good_object_masks": {
        "analysis": [
            {"object": "Muon", "function": in_reach, "use": [("Muon", None)]},
            {
                "object": "Jet",
                "function": lambda jets: (jets.pt > 30) & (abs(jets.eta) < 2.4),
                "use": [("Jet", None)],
            },
        ]
    },
    "channels": [
        {
            "name": name,
            "selection": {
                "function": lambda jets, n: ak.num(jets) >= n,
                "use": [("Jet", "pt")],
                "static_kwargs": {"n": n_jets},
            },
            "fit_observable": "met",
            "observables": [
                {
                    "name": "met",
                    "binning": "0,200,25",
                    "function": lambda met: met.pt,
                    "use": [("MET", None)],
                },
                {
                    "name": "met_phi",
                    "binning": "-3.2,3.2,16",
                    "function": lambda phi: phi,
                    "use": [("MET", "phi")],
                },
                {
                    "name": "lead",
                    "binning": "0,400,40",
                    "function": lambda pt: ak.fill_none(ak.firsts(pt), -1.0),
                    "use": [("Jet", "pt")],
                },
            ],
        }
        for name, n_jets in (("inclusive", 0), ("jets", 2))
    ],
    "corrections": {
        2018: [
            {
                "name": "raw",
                **CARRIED,
                "use_correctionlib": False,
                "nominal_function": lambda raw: 1 - raw,
                "args": [("Jet", "rawFactor")],
                "applies_to": "both",
            },
            {
                "name": "jec_data",
                **CARRIED,
                "resort": True,
                "file": JERC,
                "key": RUN_A.format("L1L2L3Res"),
                "args": RAW_JET,
                "applies_to": "data",
            },
            {
                "name": "jec",
                **CARRIED,
                "resort": True,
                "file": JERC,
                "key": MC.format("L1L2L3Res"),
                "args": RAW_JET,
                "uncertainty_sources": [
                    {
                        "name": name,
                        "key": MC.format(key),
                        "args": [("Jet", "eta"), JET_PT],
                        "is_delta": True,
                    }
                    for name, key in (("jes", "AbsoluteScale"), ("jes_flavour", "FlavorQCD"))
                ],
            },
            {
                "name": "jer",
                **CARRIED,
                "resort": True,
                "use_correctionlib": False,
                "nominal_function": smearing,
                "nominal_idx": "nom",
                "args": [("Jet", None), RHO, ("event", "event"), Sys()],
                "uncertainty_sources": [
                    {"name": "jer", "up_function": smearing, "down_function": smearing}
                ],
            },
            {
                "name": "pileup",
                "type": "event",
                "file": WEIGHTS["pileup"],
                "key": SIZES["pileup"],
                "args": [("Pileup", "nTrueInt"), Sys()],
                "uncertainty_sources": [{"name": "pileup"}],
            },
            {
                "name": "muon",
                "type": "event",
                "file": WEIGHTS["muon"],
                "key": SIZES["muon"],
                "args": [("Muon", "eta"), ("Muon", "pt"), Sys()],
                "transform_in": lambda eta, pt: (abs(eta), pt),
                "reduce": "prod",
                "uncertainty_sources": [
                    {"name": "muon", "up_and_down_idx": ["systup", "systdown"]}
                ],
            },
            {
                "name": "b_tag",
                "type": "event",
                "file": WEIGHTS["b_tag"],
                "key": "deepJet_shape",
                "args": [Sys(), *B_JET],
                "transform_in": lambda flavour, eta, pt, tag: (flavour, abs(eta), pt, tag),
                "nominal_idx": "central",
                "reduce": "prod",
                "uncertainty_sources": [
                    {
                        "name": "b_tag_jes",
                        "args": B_JET,
                        "up_function": shape_of("up_jesAbsoluteScale"),
                        "down_function": shape_of("down_jesAbsoluteScale"),
                        "varies_with": "jes",
                    }
                ],
            },
        ]
    },
}

DATASETS = {
    "ttbar_2018": ("ttbar", 59830 * 831.76, "nano/nanoAOD_2015_CMS_Open_Data_ttbar.root"),
    "drell_yan_2018": ("drell_yan", 59830 * 6077.22, "nano/nano_dy.root"),
    "data_2018": ("data", None, "nano/nano_dimuon.root"),
}
COLUMNS = (
    "/(n?Jet_(pt|eta|phi|area|rawFactor|genJetIdx|hadronFlavour|btagDeepFlavB)|MET_(pt|phi)"
    "|Muon_(pt|eta|tightId)|GenJet_pt|genWeight|Pileup_nTrueInt|fixedGridRhoFastjetAll|event)/"
)
QUANTITIES = {
    "met": np.linspace(0, 200, 26),
    "met_phi": np.linspace(-3.2, 3.2, 17),
    "lead": np.linspace(0, 400, 41),
}
EDGES = {
    (channel, name): edges
    for channel in ("inclusive", "jets")
    for name, edges in QUANTITIES.items()
}


def labels(_: str) -> list[str]:
    names = ("jes", "jes_flavour", "jer", "pileup", "muon")
    return [f"{name}_{side}" for name in names for side in ("up", "down")]


@dataclass(frozen=True)
class Loop:
    """One event in one variation."""

    jerc: Any
    weights: dict[str, Any]

    def jets(self, event: plain.Event, label: str, *, is_data: bool) -> tuple[Any, Any]:
        """Return the jets and the MET at the end of the corrections."""
        source, _, side = label.rpartition("_")
        jets, met = plain.rows(event, "Jet"), plain.record(event, "MET")
        rho = event["fixedGridRhoFastjetAll"]
        plain.scaled(jets, met, [float(np.float32(1) - np.float32(j["rawFactor"])) for j in jets])
        key = (RUN_A if is_data else MC).format("L1L2L3Res")
        compound = self.jerc.compound[key].evaluate
        plain.scaled(jets, met, [compound(j["area"], j["eta"], j["pt"], rho) for j in jets])
        jets.sort(key=lambda jet: -jet["pt"])
        if is_data:
            return jets, met
        if source in ("jes", "jes_flavour"):
            name = {"jes": "AbsoluteScale", "jes_flavour": "FlavorQCD"}[source]
            size, sign = self.jerc[MC.format(name)].evaluate, {"up": 1, "down": -1}[side]
            plain.scaled(jets, met, [1 + sign * size(j["eta"], j["pt"]) for j in jets])
            jets.sort(key=lambda jet: -jet["pt"])
        word = side if source == "jer" else "nom"
        plain.scaled(jets, met, [self.smeared(event, jet, word) for jet in jets])
        jets.sort(key=lambda jet: -jet["pt"])
        return jets, met

    def smeared(self, event: plain.Event, jet: plain.Row, word: str) -> float:
        rho, gen = event["fixedGridRhoFastjetAll"], event["GenJet_pt"]
        number = jet["genJetIdx"]
        matched = gen[number] if 0 <= number < len(gen) else -1.0
        resolution = self.jerc[JER.format("PtResolution")].evaluate(jet["eta"], jet["pt"], rho)
        size = self.jerc[JER.format("ScaleFactor")].evaluate(jet["eta"], word)
        numbers = (jet["pt"], jet["eta"], matched, rho, event["event"], resolution, size)
        return float(self.weights["smear"]["JERSmear"].evaluate(*numbers))

    def weight(self, event: plain.Event, label: str, jets: Any) -> float:
        source, _, side = label.rpartition("_")
        pileup, muon = (self.weights[name][SIZES[name]].evaluate for name in ("pileup", "muon"))
        word = side if source == "pileup" else "nominal"
        weight = event["genWeight"] * pileup(event["Pileup_nTrueInt"], word)
        word = f"syst{side}" if source == "muon" else "nominal"
        for one in plain.rows(event, "Muon"):
            if one["tightId"] and abs(one["eta"]) < 2.4 and one["pt"] > 15:
                weight *= muon(abs(one["eta"]), one["pt"], word)
        word = f"{side}_jesAbsoluteScale" if source == "jes" else "central"
        shape = self.weights["b_tag"]["deepJet_shape"].evaluate
        for jet in jets:
            numbers = (abs(jet["eta"]), jet["pt"], jet["btagDeepFlavB"])
            own = "central" if jet["hadronFlavour"] == 4 else word
            weight *= shape(own, jet["hadronFlavour"], *numbers)
        return float(weight)

    def __call__(self, event: plain.Event, label: str, dataset: str) -> Iterator[plain.Fill]:
        is_data = dataset.startswith("data")
        jets, met = self.jets(event, label, is_data=is_data)
        jets = [jet for jet in jets if jet["pt"] > 30 and abs(jet["eta"]) < 2.4]
        weight = 1.0 if is_data else self.weight(event, label, jets)
        for channel in ("inclusive", "jets") if len(jets) >= 2 else ("inclusive",):
            yield channel, "met", met["pt"], weight
            yield channel, "met_phi", met["phi"], weight
            yield channel, "lead", jets[0]["pt"] if jets else -1.0, weight


def loop(folder: Path) -> plain.Loop:
    paths = {**WEIGHTS, "smear": SMEAR}
    libraries = {name: plain.evaluators(folder / path) for name, path in paths.items()}
    return Loop(plain.evaluators(folder / JERC), libraries)

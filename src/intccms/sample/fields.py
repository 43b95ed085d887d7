"""Names, types and values of branches that are only there because real files have them."""

from __future__ import annotations

from functools import cache

import numpy as np

from intccms.sample.fillers import exponential, normal, one_of, uniform
from intccms.sample.kinematics import Array

__all__ = ["FLAGS", "collection_fields", "event_fields", "simulated_fields", "trigger_rates"]

FLAGS = (
    "goodVertices",
    "globalSuperTightHalo2016Filter",
    "HBHENoiseFilter",
    "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter",
    "BadPFMuonFilter",
    "BadPFMuonDzFilter",
    "BadChargedCandidateFilter",
    "eeBadScFilter",
    "ecalBadCalibFilter",
    "hfNoisyHitsFilter",
    "CSCTightHaloFilter",
    "chargedHadronTrackResolutionFilter",
    "muonBadTrackFilter",
    "trkPOGFilters",
)


@cache
def collection_fields(collection: str) -> dict[str, Array]:
    """Fillers of one collection."""
    makers = {
        "Muon": _muon,
        "Electron": _electron,
        "Tau": _tau,
        "Jet": _jet,
        "FatJet": _fat_jet,
    }
    return makers[collection]()


def _muon() -> dict[str, Array]:
    return {
        "dxy": normal(0, 0.003),
        "dz": normal(0, 0.006),
        "ip3d": exponential(0.004),
        "sip3d": exponential(1.2),
        "jetRelIso": exponential(0.2),
        "ptErr": exponential(1.5),
        "softMva": normal(0.4, 0.2),
        "tunepRelPt": normal(1, 0.01),
        "nStations": one_of(np.int32, {1: 0.05, 2: 0.15, 3: 0.4, 4: 0.4}),
        "nTrackerLayers": one_of(np.int32, {10: 0.1, 12: 0.3, 13: 0.3, 15: 0.3}),
        "tightCharge": one_of(np.int32, {2: 0.97, 0: 0.03}),
        "highPtId": one_of(np.uint8, {2: 0.93, 1: 0.04, 0: 0.03}),
        "isGlobal": one_of(np.bool_, {1: 0.98, 0: 0.02}),
        "isTracker": one_of(np.bool_, {1: 0.98, 0: 0.02}),
        "isPFcand": one_of(np.bool_, {1: 0.99, 0: 0.01}),
        "softId": one_of(np.bool_, {1: 0.96, 0: 0.04}),
    }


def _electron() -> dict[str, Array]:
    return {
        "dxy": normal(0, 0.006),
        "dz": normal(0, 0.01),
        "sip3d": exponential(1.3),
        "r9": normal(0.92, 0.05),
        "sieie": normal(0.01, 0.001),
        "hoe": exponential(0.02),
        "deltaEtaSC": normal(0, 0.02),
        "pfRelIso03_all": exponential(0.06),
        "miniPFRelIso_all": exponential(0.05),
        "mvaFall17V2Iso": normal(0.8, 0.2),
        "tightCharge": one_of(np.int32, {2: 0.9, 1: 0.06, 0: 0.04}),
        "lostHits": one_of(np.uint8, {0: 0.95, 1: 0.05}),
        "convVeto": one_of(np.bool_, {1: 0.96, 0: 0.04}),
        "cutBased_HEEP": one_of(np.bool_, {1: 0.85, 0: 0.15}),
    }


def _tau() -> dict[str, Array]:
    return {
        "dxy": normal(0, 0.01),
        "dz": normal(0, 0.02),
        "rawIso": exponential(2),
        "leadTkPtOverTauPt": uniform(0.2, 1),
        "decayMode": one_of(np.int32, {0: 0.2, 1: 0.45, 10: 0.25, 11: 0.1}),
        "idDeepTau2017v2p1VSjet": one_of(np.uint8, {255: 0.3, 63: 0.3, 15: 0.2, 1: 0.2}),
        "idDeepTau2017v2p1VSe": one_of(np.uint8, {255: 0.6, 31: 0.4}),
        "idDeepTau2017v2p1VSmu": one_of(np.uint8, {15: 0.9, 1: 0.1}),
        "idDecayModeOldDMs": one_of(np.bool_, {1: 0.9, 0: 0.1}),
    }


def _jet() -> dict[str, Array]:
    return {
        "area": normal(0.5, 0.02),
        "rawFactor": normal(0.07, 0.04),
        "chHEF": uniform(0.2, 0.9),
        "neEmEF": uniform(0.05, 0.5),
        "neHEF": exponential(0.1),
        "muEF": exponential(0.004),
        "qgl": uniform(0, 1),
        "bRegCorr": normal(1.03, 0.07),
        "btagDeepCvB": uniform(0, 1),
        "btagDeepCvL": uniform(0, 1),
        "nConstituents": one_of(np.uint8, {8: 0.1, 15: 0.3, 24: 0.3, 40: 0.3}),
    }


def _fat_jet() -> dict[str, Array]:
    return {
        "area": normal(2.0, 0.03),
        "rawFactor": normal(0.05, 0.03),
        "tau1": uniform(0.1, 0.4),
        "tau4": uniform(0.01, 0.08),
        "n2b1": normal(0.25, 0.07),
        "n3b1": normal(1.2, 0.4),
        "btagDeepB": uniform(0, 1),
        "btagHbb": uniform(-1, 1),
        "particleNet_ZvsQCD": uniform(0, 1),
        "particleNet_HbbvsQCD": exponential(0.1),
        "particleNetMD_QCD": uniform(0, 1),
        "particleNetMD_Xbb": exponential(0.1),
        "nConstituents": one_of(np.uint8, {40: 0.2, 60: 0.3, 80: 0.3, 110: 0.2}),
    }


@cache
def event_fields() -> dict[str, Array]:
    """Fillers with one value an event."""
    return {
        "PV_x": normal(0.06, 0.002),
        "PV_y": normal(0.09, 0.002),
        "PV_z": normal(0, 3.6),
        "PV_ndof": uniform(20, 200),
        "PV_chi2": normal(1, 0.15),
        "PV_score": exponential(3000),
        "MET_significance": exponential(4),
        "MET_sumPtUnclustered": uniform(100, 900),
        "MET_MetUnclustEnUpDeltaX": normal(0, 6),
        "MET_MetUnclustEnUpDeltaY": normal(0, 6),
        "MET_covXX": uniform(200, 900),
        "MET_covXY": normal(0, 40),
        "MET_covYY": uniform(200, 900),
        "SoftActivityJetHT": exponential(60),
        "fixedGridRhoFastjetCentralCalo": uniform(4, 18),
    }


@cache
def simulated_fields() -> dict[str, Array]:
    """Fillers with one value an event that only simulation has."""
    return {
        "Generator_x1": uniform(0.02, 0.5),
        "Generator_x2": uniform(0.02, 0.5),
        "Generator_xpdf1": exponential(0.7),
        "Generator_xpdf2": exponential(0.7),
        "Generator_scalePDF": uniform(80, 900),
        "Generator_id1": one_of(np.int32, {21: 0.7, 2: 0.15, -2: 0.15}),
        "Generator_id2": one_of(np.int32, {21: 0.7, 2: 0.15, -2: 0.15}),
        "L1PreFiringWeight_Nom": normal(0.98, 0.008),
        "L1PreFiringWeight_Up": normal(0.975, 0.008),
        "L1PreFiringWeight_Dn": normal(0.985, 0.008),
        "LHE_AlphaS": one_of(np.float32, {0: 1}) + np.float32(0.118),
        "LHE_Njets": one_of(np.uint8, {0: 0.2, 1: 0.3, 2: 0.3, 3: 0.2}),
        "LHE_NpNLO": one_of(np.uint8, {0: 1}),
        "Pileup_pudensity": uniform(0.1, 3),
        "Pileup_gpudensity": uniform(0.1, 3),
        "Pileup_sumEOOT": one_of(np.int32, {150: 0.3, 200: 0.4, 260: 0.3}),
        "Pileup_sumLOOT": one_of(np.int32, {80: 0.3, 110: 0.4, 150: 0.3}),
        "genTtbarId": one_of(np.int32, {0: 0.7, 1: 0.1, 41: 0.1, 51: 0.1}),
        "btagWeight_DeepCSVB": normal(1, 0.05),
    }


@cache
def trigger_rates() -> dict[str, float]:
    """Share of events in which a trigger path fires that nothing here simulates."""
    return {
        "AK8PFJet360_TrimMass30": 0.2,
        "AK8PFHT700_TrimR0p1PT0p03Mass50": 0.25,
        "BTagMu_DiJet20_Mu5": 0.002,
        "DiPFJetAve40": 0.001,
        "DoubleEle33_CaloIdL_MW": 0.01,
        "DoubleMu4_3_Bs": 0.001,
        "Ele105_CaloIdVT_GsfTrkIdT": 0.06,
        "Ele25_eta2p1_WPTight_Gsf": 0.12,
        "Ele27_WPTight_Gsf": 0.12,
        "Ele32_eta2p1_WPTight_Gsf": 0.1,
        "MET200": 0.05,
        "MonoCentralPFJet80_PFMETNoMu110_PFMHTNoMu110_IDTight": 0.1,
        "Mu17_TrkIsoVVL_Mu8_TrkIsoVVL_DZ": 0.01,
        "Mu17_TrkIsoVVL_TkMu8_TrkIsoVVL_DZ": 0.01,
        "Mu23_TrkIsoVVL_Ele12_CaloIdL_TrackIdL_IsoVL": 0.01,
        "Mu45_eta2p1": 0.1,
        "PFHT300": 0.05,
        "PFHT800": 0.3,
        "PFHT900": 0.25,
        "PFJet450": 0.25,
        "PFMET110_PFMHT110_IDTight": 0.1,
        "PFMET120_PFMHT120_IDTight": 0.09,
        "Photon165_HE10": 0.01,
        "Photon175": 0.02,
        "TripleMu_12_10_5": 0.0005,
        "ZeroBias": 0.00001,
    }

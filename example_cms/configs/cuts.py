"""Good objects and events: one muon with jets and missing momentum, a top-tagged large jet.

Thresholds in GeV are keyword-only arguments: settings of the configuration, by their names.
"""

from __future__ import annotations

import json
from functools import lru_cache, reduce
from operator import and_, or_
from pathlib import Path

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.datasets.sections import LumiSections
from intccms.fingerprint.digest import content_digest

__all__ = [
    "B_TAG",
    "baseline",
    "channel_selection",
    "good_fatjets",
    "good_jets",
    "good_muons",
    "lumi_mask",
    "no_pileup",
    "skim_selection",
]

# Those of a year that a file has: TkMu50 is of 2016, OldMu100 and TkMu100 are of 2017 (from era C)
# and 2018. The scale factors are those of all paths of a year together.
MUON_TRIGGERS = ("Mu50", "TkMu50", "OldMu100", "TkMu100")
ONLY_2016 = "TkMu50"

# Recommended for the legacy reprocessing of all three years, data and simulation.
MET_FILTERS = (
    "goodVertices",
    "globalSuperTightHalo2016Filter",
    "HBHENoiseFilter",
    "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter",
    "BadPFMuonFilter",
    "BadPFMuonDzFilter",
    "eeBadScFilter",
)
NOT_IN_2016 = "ecalBadCalibFilter"

# DeepJet, medium in 2017. The shape of the score is calibrated, so the threshold need not be a
# working point of each year.
B_TAG = 0.304

JET_RADIUS = 0.4
PILEUP_GEV = 50.0  # above, no jet is pile-up
FAR = 99.0  # pseudorapidity of a muon that is not there


def skim_selection(
    triggers: ak.Array,
    muon_pt: ak.Array,
    only_later: ak.Array,
    *filters: ak.Array,
    pt_min: float = 50.0,
) -> PackedSelection:
    """Events with a muon that fired its trigger and without noise; nothing here is varied."""
    selection = PackedSelection()
    paths = [triggers[name] for name in MUON_TRIGGERS if name in triggers.fields]
    selection.add("trigger", reduce(or_, paths))
    later = () if ONLY_2016 in triggers.fields else (only_later,)
    selection.add("met_filters", reduce(and_, (*filters, *later)))
    selection.add("muon", ak.any(muon_pt > pt_min, axis=1))
    selection.add("skim", selection.all("trigger", "met_filters", "muon"))
    return selection


def good_muons(
    pt: ak.Array,
    eta: ak.Array,
    is_tight: ak.Array,
    high_pt_id: ak.Array,
    isolation: ak.Array,
    *,
    pt_min: float = 55.0,
) -> ak.Array:
    """Tight muons above the trigger's plateau, loosely isolated in the tracker.

    They are global muons for high momentum too, because that and the isolation are the probes
    with which the trigger was measured.
    """
    is_probe = (high_pt_id == 2) & (isolation >= 1)
    return (pt > pt_min) & (abs(eta) < 2.4) & is_tight & is_probe


def no_pileup(pt: ak.Array, pileup_id: ak.Array) -> ak.Array:
    """Loose pile-up identification of jets below 50 GeV.

    The bits of 2016 are in another order than those of 2017 and 2018, but each working point holds
    the looser ones: any bit is the loose one.
    https://twiki.cern.ch/twiki/bin/view/CMS/PileupJetIDUL
    """
    return (pt >= PILEUP_GEV) | (pileup_id > 0)


def good_jets(  # noqa: PLR0913 - six columns and a threshold
    pt: ak.Array,
    eta: ak.Array,
    phi: ak.Array,
    jet_id: ak.Array,
    pileup_id: ak.Array,
    muons: ak.Array,
    *,
    pt_min: float = 30.0,
) -> ak.Array:
    """Jets with tight identification and lepton veto, no pile-up, where b tags exist.

    An isolated muon is a jet of its own; that of the leading good muon is no jet of the event.
    """
    delta_eta = eta - ak.fill_none(ak.firsts(muons.eta), FAR)
    delta_phi = (phi - ak.fill_none(ak.firsts(muons.phi), 0.0) + np.pi) % (2 * np.pi) - np.pi
    is_apart = delta_eta**2 + delta_phi**2 > JET_RADIUS**2
    is_good = (pt > pt_min) & (abs(eta) < 2.4) & (jet_id >= 6) & no_pileup(pt, pileup_id)
    return is_good & is_apart


def good_fatjets(
    pt: ak.Array,
    eta: ak.Array,
    top_vs_qcd: ak.Array,
    *,
    pt_min: float = 400.0,
    top_tag_min: float = 0.5,
) -> ak.Array:
    """Large-radius jets in the range where they hold a whole top quark decay, top-tagged."""
    return (pt > pt_min) & (abs(eta) < 2.4) & (top_vs_qcd > top_tag_min)


def lumi_mask(run: ak.Array, luminosity_block: ak.Array, *, lumifile: str) -> ak.Array:
    """Events in the luminosity sections that the golden JSON at `lumifile` certifies."""
    return _golden_json(lumifile, content_digest(lumifile)).holds(run, luminosity_block)


@lru_cache(maxsize=4)
def _golden_json(lumifile: str, digest: str) -> LumiSections:  # noqa: ARG001
    """Read a golden JSON once per worker, and again when its content changes."""
    return LumiSections.from_ranges(json.loads(Path(lumifile).read_text()))


def baseline(muon_pt: ak.Array, jet_pt: ak.Array, is_quiet: ak.Array) -> PackedSelection:
    """Exactly one good muon, at least two good jets, and none in a bad part of the detector.

    Any column serves to count.
    """
    selection = PackedSelection()
    selection.add("jet_veto_map", is_quiet > 0)
    selection.add("exactly_1mu", ak.num(muon_pt, axis=1) == 1)
    selection.add("atleast_2jet", ak.num(jet_pt, axis=1) >= 2)
    selection.add("baseline", selection.all(*selection.names))
    return selection


def channel_selection(  # noqa: PLR0913 - four columns and what decides on them
    muon_pt: ak.Array,
    b_tag: ak.Array,
    fatjet_pt: ak.Array,
    met_pt: ak.Array,
    *,
    has_b_tag: bool,
    met_min: float = 50.0,
    lepton_ht_min: float = 150.0,
) -> PackedSelection:
    """Select a boosted leptonic top quark and one top-tagged jet, with or without a b tag."""
    any_b_tag = ak.any(b_tag > B_TAG, axis=1)
    cuts = {
        "met_cut": met_pt > met_min,
        "muon_ht": ak.any(muon_pt + met_pt > lepton_ht_min, axis=1),
        "exactly_1fatjet": ak.num(fatjet_pt, axis=1) == 1,
        "b_tag" if has_b_tag else "no_b_tag": any_b_tag if has_b_tag else ~any_b_tag,
    }
    selection = PackedSelection()
    for name, passed in cuts.items():
        selection.add(name, passed)
    selection.add("selected", selection.all(*cuts))
    return selection

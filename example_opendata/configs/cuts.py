"""Good objects and events: those of the CMS open-data workshop of 2024.

Thresholds in GeV are keyword-only arguments, so that each is a setting of the configuration:
``channels.CMS_WORKSHOP.selection.met_min=60``.

https://cms-opendata-workshop.github.io/workshop2024-lesson-event-selection
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import awkward as ak
from coffea.analysis_tools import PackedSelection

from intccms.datasets.sections import LumiSections
from intccms.fingerprint.digest import content_digest

__all__ = [
    "baseline",
    "good_fatjets",
    "good_jets",
    "good_muons",
    "lumi_mask",
    "skim_selection",
    "workshop_selection",
]


def skim_selection(
    trigger: ak.Array, met_pt: ak.Array, *, met_min: float = 50.0
) -> PackedSelection:
    """Events that fired the muon trigger and have some missing transverse momentum.

    Parameters
    ----------
    trigger, met_pt : shape (n_events,)
        Whether it fired; missing transverse momentum, in GeV.
    met_min
        Least missing transverse momentum, in GeV.
    """
    selection = PackedSelection()
    selection.add("trigger", trigger)
    selection.add("met_cut", met_pt > met_min)
    selection.add("skim", selection.all("trigger", "met_cut"))
    return selection


def lumi_mask(run: ak.Array, luminosity_block: ak.Array, *, lumifile: str) -> ak.Array:
    """Events in certified luminosity sections.

    Parameters
    ----------
    run, luminosity_block : shape (n_events,)
        Where an event was recorded.
    lumifile
        Path of the golden JSON: ``{run: [[first, last], ...]}``.
    """
    golden = _golden_json(lumifile, content_digest(lumifile))
    return golden.holds(run, luminosity_block)


@lru_cache(maxsize=4)
def _golden_json(lumifile: str, digest: str) -> LumiSections:  # noqa: ARG001
    """Read a golden JSON once per worker, and again when its content changes.

    coffea's LumiMask gives the same; importing it compiles for seconds in each worker.
    """
    return LumiSections.from_ranges(json.loads(Path(lumifile).read_text()))


def good_muons(
    pt: ak.Array,
    eta: ak.Array,
    is_tight: ak.Array,
    mini_isolation: ak.Array,
    *,
    pt_min: float = 55.0,
) -> ak.Array:
    """Tight muons above the trigger's plateau, at least medium mini-isolation.

    Parameters
    ----------
    pt, eta, is_tight, mini_isolation : shape (n_events, n_muons)
        Of each muon.
    pt_min
        Least transverse momentum, in GeV: on the trigger's plateau.
    """
    return (pt > pt_min) & (abs(eta) < 2.4) & is_tight & (mini_isolation > 1)


def good_jets(jet_id: ak.Array, btag_deepcsv: ak.Array, *, btag_min: float = 0.5) -> ak.Array:
    """Jets that pass the tight identification with lepton veto and look like a b jet.

    Parameters
    ----------
    jet_id, btag_deepcsv : shape (n_events, n_jets)
        Of each jet.
    btag_min
        Least DeepCSV discriminant.
    """
    return (jet_id >= 4) & (btag_deepcsv > btag_min)


def good_fatjets(
    pt: ak.Array, top_vs_qcd: ak.Array, *, pt_min: float = 500.0, top_tag_min: float = 0.5
) -> ak.Array:
    """Large-radius jets, in the range where they hold a whole top quark decay, top-tagged.

    Parameters
    ----------
    pt, top_vs_qcd : shape (n_events, n_jets)
        Of each large-radius jet.
    pt_min
        Least transverse momentum, in GeV.
    top_tag_min
        Least ParticleNet score of a top quark against multijets.
    """
    return (pt > pt_min) & (top_vs_qcd > top_tag_min)


def baseline(muon_pt: ak.Array, jet_id: ak.Array) -> PackedSelection:
    """Exactly one good muon and at least two good jets; any column serves to count."""
    selection = PackedSelection()
    selection.add("exactly_1mu", ak.num(muon_pt, axis=1) == 1)
    selection.add("atleast_2jet", ak.num(jet_id, axis=1) >= 2)
    selection.add("baseline", selection.all("exactly_1mu", "atleast_2jet"))
    return selection


def workshop_selection(
    muon_pt: ak.Array,
    jet_id: ak.Array,
    fatjet_pt: ak.Array,
    met_pt: ak.Array,
    *,
    met_min: float = 50.0,
    lepton_ht_min: float = 150.0,
) -> PackedSelection:
    """Select the signal region: a boosted leptonic top quark and exactly one top-tagged jet.

    Parameters
    ----------
    muon_pt, jet_id, fatjet_pt : shape (n_events, n_objects)
        Of the good objects.
    met_pt : shape (n_events,)
        Missing transverse momentum, in GeV.
    met_min
        Least missing transverse momentum, in GeV.
    lepton_ht_min
        Least sum of the transverse momenta of a muon and what is missing, in GeV.
    """
    cuts = {
        "exactly_1mu": ak.num(muon_pt, axis=1) == 1,
        "atleast_1b": ak.num(jet_id, axis=1) >= 1,  # good jets are b-tagged
        "met_cut": met_pt > met_min,
        "muon_ht": ak.any(muon_pt + met_pt > lepton_ht_min, axis=1),
        "exactly_1fatjet": ak.num(fatjet_pt, axis=1) == 1,
    }
    selection = PackedSelection()
    for name, passed in cuts.items():
        selection.add(name, passed)
    selection.add("selected", selection.all(*cuts))
    return selection

from __future__ import annotations

import json
import os
from pathlib import Path

import awkward as ak
import numpy as np

from example_opendata.configs import cuts


def test_skim_needs_trigger_and_missing_momentum() -> None:
    trigger = ak.Array([True, True, False, False])
    met_pt = ak.Array([60.0, 50.0, 60.0, 10.0])
    selection = cuts.skim_selection(trigger, met_pt)
    assert selection.names[-1] == "skim"
    assert selection.all("skim").tolist() == [True, False, False, False]


def test_good_muons_fail_each_cut_alone() -> None:
    good = cuts.good_muons(
        ak.Array([[56.0, 55.0, 56.0], [56.0, 56.0], []]),
        ak.Array([[-2.3, 0.0, -2.4], [0.0, 0.0], []]),
        ak.Array([[True, True, True], [False, True], []]),
        ak.Array([[2, 2, 2], [2, 1], []]),
    )
    assert good.to_list() == [[True, False, False], [False, False], []]


def test_good_jets_need_identification_and_b_tag() -> None:
    good = cuts.good_jets(ak.Array([[6, 4, 2, 6]]), ak.Array([[0.6, 0.51, 0.9, 0.5]]))
    assert good.to_list() == [[True, True, False, False]]


def test_good_fatjets_are_boosted_and_top_tagged() -> None:
    good = cuts.good_fatjets(ak.Array([[501.0, 500.0, 900.0]]), ak.Array([[0.6, 0.6, 0.5]]))
    assert good.to_list() == [[True, False, False]]


def test_baseline_is_one_muon_and_two_jets() -> None:
    muon_pt = ak.Array([[60.0], [60.0, 58.0], [], [60.0]])
    jet_id = ak.Array([[6, 6], [6, 6], [6, 6], [6]])
    selection = cuts.baseline(muon_pt, jet_id)
    assert selection.all(selection.names[-1]).tolist() == [True, False, False, False]


def test_the_channel_wants_exactly_one_top_tagged_jet() -> None:
    n = 8
    muon_pt = ak.Array([[101.0]] * 5 + [[90.0], [101.0, 90.0], []])
    jet_id = ak.Array([[6]] * 4 + [[]] + [[6]] * 3)
    fatjet_pt = ak.Array([[600.0], [], [600.0, 550.0], [600.0], [600.0], [600.0], [600.0], [600.0]])
    met_pt = ak.Array([60.0, 60.0, 60.0, 50.0, 60.0, 60.0, 60.0, 60.0])
    signal = cuts.workshop_selection(muon_pt, jet_id, fatjet_pt, met_pt)
    assert signal.names[:5] == [
        "exactly_1mu",
        "atleast_1b",
        "met_cut",
        "muon_ht",
        "exactly_1fatjet",
    ]
    assert signal.all(signal.names[-1]).tolist() == [True] + [False] * (n - 1)


def test_selections_work_without_events() -> None:
    empty, columns = ak.Array([[1.0]])[:0], ak.Array([1.0])[:0]
    selection = cuts.workshop_selection(empty, empty, empty, columns)
    assert len(selection.all(selection.names[-1])) == 0
    assert len(cuts.baseline(empty, empty).all("baseline")) == 0
    assert len(cuts.skim_selection(columns > 0, columns).all("skim")) == 0


def test_lumi_mask_keeps_certified_sections(tmp_path: Path) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"278820": [[10, 20], [30, 31]]}))
    run = ak.Array([278820] * 6 + [278821])
    section = ak.Array([9, 10, 20, 21, 30, 32, 15])
    kept = cuts.lumi_mask(run, section, lumifile=str(golden))
    assert ak.to_list(kept) == [False, True, True, False, True, False, False]


def test_lumi_mask_reads_a_changed_file_again(tmp_path: Path) -> None:
    golden = tmp_path / "golden.json"
    run, section = ak.Array([1, 1]), ak.Array([5, 50])
    golden.write_text(json.dumps({"1": [[1, 10]]}))
    assert ak.to_list(cuts.lumi_mask(run, section, lumifile=str(golden))) == [True, False]
    golden.write_text(json.dumps({"1": [[40, 60]]}))
    os.utime(golden, ns=(1, 1))
    assert ak.to_list(cuts.lumi_mask(run, section, lumifile=str(golden))) == [False, True]


def test_lumi_mask_agrees_with_the_golden_json_of_2016_read_by_hand(shared_data: Path) -> None:
    name = "Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"
    golden = shared_data / "golden" / name
    ranges = {int(run): pairs for run, pairs in json.loads(golden.read_text()).items()}
    rng = np.random.default_rng(5)
    run = rng.choice(np.append(list(ranges), 278821), 2000)
    section = rng.integers(1, 1500, 2000)
    kept = cuts.lumi_mask(ak.Array(run), ak.Array(section), lumifile=str(golden))
    expected = [
        any(first <= s <= last for first, last in ranges.get(int(r), []))
        for r, s in zip(run, section, strict=True)
    ]
    assert ak.to_list(kept) == expected
    assert 0 < sum(expected) < 2000

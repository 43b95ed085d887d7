"""Which branches a skim keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.errors import MissingColumnError
from intccms.schema import Preprocess
from intccms.skimming import SkimColumns
from intccms.skimming.columns import branches_of
from tests.skimming.conftest import nano_columns, values_of

IDS = {"run", "luminosityBlock", "event"}


def taken(columns: SkimColumns, events: Any, is_data: bool = False) -> set[str]:
    return set(columns.take(events, is_data=is_data, source="a.root"))


def test_everything_is_kept_when_no_branch_is_named(events: Any) -> None:
    counters = {"nMuon", "nJet", "nGenPart", "nPSWeight"}
    assert taken(SkimColumns(), events) == {*nano_columns(1), *counters}


def test_named_branches_are_kept_with_what_they_need(events: Any) -> None:
    columns = SkimColumns({"Muon": ("pt",), "HLT": ("IsoMu24",)}, weight_branch="genWeight")
    expected = {"Muon_pt", "Muon_charge", "nMuon", "HLT_IsoMu24", "genWeight", *IDS}
    assert taken(columns, events) == expected


def test_top_level_columns_are_those_of_the_event(events: Any) -> None:
    columns = SkimColumns({"event": ("genWeight", "PSWeight")})
    assert taken(columns, events) == {"genWeight", "PSWeight", "nPSWeight", *IDS}


def test_what_only_simulation_has_is_not_asked_of_data(events: Any) -> None:
    columns = SkimColumns(
        {"Muon": ("pt", "genPartIdx"), "Jet": ("pt",)},
        {"Muon": ("genPartIdx",)},
        weight_branch="noSuchWeight",
    )
    expected = {"Muon_pt", "Muon_charge", "nMuon", "Jet_pt", "nJet", *IDS}
    assert taken(columns, events, is_data=True) == expected


def test_a_missing_branch_is_an_error_that_names_file_branch_and_the_nearest(events: Any) -> None:
    columns = SkimColumns({"Muon": ("tightID",)})
    with pytest.raises(MissingColumnError) as missing:
        taken(columns, events)
    assert re.search(
        r"^a.root has no branch 'Muon_tightID'.*did you mean 'Muon_tightId'\?", str(missing.value)
    )


def test_a_missing_weight_is_an_error(events: Any) -> None:
    columns = SkimColumns({"Muon": ("pt",)}, weight_branch="genweight")
    with pytest.raises(MissingColumnError, match="did you mean 'genWeight'"):
        taken(columns, events)


def test_missing_branches_are_left_out_on_request(events: Any) -> None:
    columns = SkimColumns({"Jet": ("pt", "btag"), "Tau": ("pt",)}, ignore_missing=True)
    assert taken(columns, events) == {"Jet_pt", "nJet", *IDS}


def test_what_coffea_makes_need_not_be_in_the_file(events: Any) -> None:
    columns = SkimColumns({"Muon": ("jetIdx", "jetIdxG"), "Jet": ("pt",)})
    assert "Muon_jetIdxG" not in taken(columns, events)


def test_counters_are_those_of_nanoaod(kept: Any) -> None:
    columns = SkimColumns({"Jet": ("pt",)}).take(kept, is_data=False, source="a.root")
    assert columns["nJet"].to_list() == ak.num(kept.Jet.pt).to_list()
    assert str(columns["nJet"].type.content) == "int32"


def test_values_have_the_types_of_the_file(kept: Any) -> None:
    columns = SkimColumns().take(kept, is_data=False, source="a.root")
    for name, values in nano_columns().items():
        flat = ak.to_numpy(ak.flatten(columns[name], axis=None))
        assert flat.dtype == np.asarray(ak.flatten(values, axis=None)).dtype, name


@pytest.mark.filterwarnings("ignore:Missing cross-reference")  # coffea, of what is not in the file
def test_plain_nanoevents_give_the_same(nano_file: Path, events: Any, kept: Any) -> None:
    plain = NanoEventsFactory.from_root(
        {str(nano_file): "Events"}, schemaclass=NanoAODSchema, mode="virtual"
    ).events()
    assert values_of(plain) == values_of(events)
    assert values_of(plain[ak.num(plain.Muon.pt) > 1]) == values_of(kept)


def test_the_configuration_says_what_to_keep(events: Any) -> None:
    preprocess = Preprocess(
        branches={"Muon": ["pt", "pfRelIso"]}, mc_branches={}, ignore_missing=True
    )
    columns = SkimColumns.of(preprocess, "genWeight")
    assert taken(columns, events) == {"Muon_pt", "Muon_charge", "nMuon", "genWeight", *IDS}


def test_only_branches_of_the_file_count(events: Any) -> None:
    assert set(branches_of(events)) == set(nano_columns(1))

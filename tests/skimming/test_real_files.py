"""Real NanoAOD files of all versions are skimmed and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.errors import MissingColumnError
from intccms.reading.columns import ReadMeter
from intccms.reading.source import Source, open_source
from intccms.skimming import SkimColumns
from intccms.skimming.columns import branches_of
from intccms.skimming.formats import Checksums
from tests.skimming.conftest import part, read_back, store_at, values_of

FORMATS = ["parquet", "ttree", "rntuple"]
KINEMATICS = ("pt", "eta", "phi", "mass")
BRANCHES = {
    "Muon": (*KINEMATICS, "jetIdx", "tightId", "genPartIdx"),
    "Jet": (*KINEMATICS, "btagDeepFlavB", "jetId"),
    "GenPart": (*KINEMATICS, "pdgId", "genPartIdxMother", "statusFlags"),
}
MC_ONLY = {"Muon": ("genPartIdx",), "GenPart": BRANCHES["GenPart"]}


def opened(path: Path) -> Any:
    source: Source = open_source(str(path), "Events")
    n = source.n_events
    return source.events(0, n, ReadMeter(), {})


@pytest.mark.parametrize(
    ("name", "is_data", "kind"),
    [
        *(("nano/nanoAOD_2015_CMS_Open_Data_ttbar.root", False, kind) for kind in FORMATS),  # v9
        *(("nano/nano_dimuon.root", True, kind) for kind in FORMATS),
        ("nano/nano_dy.root", False, "ttree"),  # v6
        ("nano/GJet_v11_Skim.root", False, "rntuple"),
        ("parquet/nano_dy.parquet", False, "parquet"),
    ],
)
def test_a_real_file_is_skimmed_and_read_back(
    tmp_path: Path, shared_data: Path, name: str, is_data: bool, kind: str
) -> None:
    events = opened(shared_data / name)
    kept = events.narrowed(np.flatnonzero(ak.num(events.Jet) > 2))
    columns = SkimColumns(BRANCHES, MC_ONLY, weight_branch="genWeight")
    store = store_at(tmp_path, kind)
    written = store.write(kept, columns, part(source=name, is_data=is_data))
    back = read_back(store, written)
    assert {"run", "luminosityBlock", "event", "nMuon", "Muon_charge"} <= set(written.columns)
    assert ("genWeight" in written.columns) is not is_data
    original = columns.take(kept, is_data=is_data, source=name)
    assert values_of(back).keys() | {"nMuon", "nJet", "nGenPart"} >= set(written.columns)
    for branch, (kind_of, values) in values_of(back).items():
        assert (kind_of, values) == (str(original[branch].type), original[branch].to_list())
    pairs = [(back.Muon.matched_jet.pt, kept.Muon.matched_jet.pt)]
    if not is_data:
        pairs.append((back.GenPart.parent.pdgId, kept.GenPart.parent.pdgId))
        pairs.append((back.GenPart.distinctParent.pt, kept.GenPart.distinctParent.pt))
        pairs.append((back.Muon.matched_gen.pt, kept.Muon.matched_gen.pt))
    for again, before in pairs:
        assert ak.to_list(again) == ak.to_list(before)


@pytest.mark.parametrize("kind", ["parquet", "rntuple"])
def test_all_branches_of_a_real_file_are_kept(tmp_path: Path, shared_data: Path, kind: str) -> None:
    events = opened(shared_data / "nano/nano_tt_v12.root")
    store = store_at(tmp_path, kind, verify="count")
    written = store.write(events, SkimColumns(), part())
    assert set(branches_of(events)) <= set(written.columns)
    before, after = Checksums(), Checksums()
    for checksums, one in ((before, events), (after, read_back(store, written))):
        list(checksums.through([SkimColumns().take(one, is_data=False, source="")]))
    assert before.digests() == after.digests()


def test_what_has_another_name_in_v12_is_told(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "nano/nano_tt_v12.root"
    events = opened(path)
    rho = SkimColumns({"event": ("fixedGridRhoFastjetAll",)})
    with pytest.raises(MissingColumnError) as missing:
        store_at(tmp_path).write(events, rho, part(source=str(path)))
    text = str(missing.value)
    assert str(path) in text
    assert "'fixedGridRhoFastjetAll'" in text
    assert "did you mean 'Rho_fixedGridRhoFastjetAll'?" in text
    btag = SkimColumns({"Jet": ("pt", "btagDeepB")})
    with pytest.raises(MissingColumnError, match=r"'Jet_btagDeepB'.*did you mean 'Jet_btag"):
        store_at(tmp_path).write(events, btag, part(source=str(path)))
    assert not list(tmp_path.rglob("part_*"))


def test_what_v12_has_is_kept_under_its_name(tmp_path: Path, shared_data: Path) -> None:
    events = opened(shared_data / "nano/nano_tt_v12.root")
    columns = SkimColumns({"Rho": ("fixedGridRhoFastjetAll",), "Jet": KINEMATICS})
    store = store_at(tmp_path, "ttree")
    back = read_back(store, store.write(events, columns, part()))
    assert ak.to_list(back.Rho.fixedGridRhoFastjetAll) == ak.to_list(
        events.Rho.fixedGridRhoFastjetAll
    )


def test_what_a_file_lacks_can_be_left_out(tmp_path: Path, shared_data: Path) -> None:
    events = opened(shared_data / "nano/nano_tt_v12.root")
    columns = SkimColumns({"Jet": ("pt", "btagDeepB")}, ignore_missing=True)
    written = store_at(tmp_path).write(events, columns, part())
    assert set(written.columns) == {"Jet_pt", "event", "luminosityBlock", "nJet", "run"}


def test_a_file_without_sections_is_skimmed_too(tmp_path: Path, shared_data: Path) -> None:
    events = opened(shared_data / "nano/missing_luminosityBlock.root")
    store = store_at(tmp_path)
    columns = SkimColumns({"Jet": KINEMATICS}, weight_branch="genWeight")
    written = store.write(events, columns, part())
    assert "luminosityBlock" not in written.columns
    assert ak.to_list(read_back(store, written).Jet.pt) == ak.to_list(events.Jet.pt)

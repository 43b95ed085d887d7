"""Files that CMS made, through the whole engine, with object and weight variations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.lumi_tools import LumiMask

from intccms.errors import MissingColumnError
from tests.engine import small
from tests.engine.small import channel, function, observable

MUON_PT, JET_PT = ("Muon", "pt"), ("Jet", "pt")
EDGES = [*range(0, 500, 5), 1e9]
SIMULATED = {
    "nano/nano_dy.root": 40,
    "nano/nano_dy_SpecialTree.root": 40,
    "nano/nano_tree.root": 10,
    "nano/missing_luminosityBlock.root": 2,
    "nano/pfnano.root": 10,
    "nano/nano_tt_v12.root": 200,
    "nano/nanoAOD_2015_CMS_Open_Data_ttbar.root": 200,
    "nano/NanoAODv5_sample.root": 1000,
    "nano/GJet_v11_Skim.root": 100,
    "rntuple/nano_dy_rntuple.root": 40,
    "rntuple/nano_tree_rntuple.root": 10,
    "parquet/nano_dy.parquet": 40,
}
DATA = {
    "nano/nano_dimuon.root": 40,
    "nano/EGamma_F_Skim.root": 100,
    "rntuple/nano_dimuon_rntuple.root": 40,
    "parquet/nano_dimuon.parquet": 40,
}
EMPTY = [
    "nano/nano_dy_empty.root",
    "rntuple/nano_dy_empty_rntuple.root",
    "parquet/nano_dy_empty.parquet",
]


def muons_and_jets() -> dict[str, Any]:
    scale = {
        "name": "scale",
        "type": "object",
        "target": JET_PT,
        "use": [JET_PT, ("Jet", "eta")],
        "op": "mult",
        "up_function": lambda pt, eta: 1 + 0.05 * (1 + np.abs(eta)),
        "symmetrise": True,
    }
    per_muon = {
        "name": "per_muon",
        "type": "event",
        "use": [MUON_PT],
        "op": "mult",
        "up_function": lambda pt: 1 + 0.1 * ak.num(pt),
        "down_function": lambda pt: 1 - 0.1 * ak.num(pt),
    }
    masks = [
        {"object": "Muon", **function(lambda muons: muons.pt > 5, ("Muon", None))},
        {"object": "Jet", **function(lambda jets: jets.pt > 20, ("Jet", None))},
    ]
    quantities = [
        observable("ht", lambda jets: ak.sum(jets.pt, axis=1), ("Jet", None), edges=EDGES),
        observable("muons", lambda pt: ak.sum(pt, axis=1), MUON_PT, edges=EDGES),
    ]
    selection = function(lambda jets: ak.num(jets) >= 1, ("Jet", None))
    return small.config(
        systematics=[scale, per_muon],
        good_object_masks={"analysis": masks},
        channels=[channel("all", quantities, selection)],
    )


LABELS = {"nominal", "scale_up", "scale_down", "per_muon_up", "per_muon_down"}

Result = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def result(shared_data: Path) -> Result:
    """What the engine makes of a file; uproot takes seconds to open a large RNTuple."""

    @cache
    def of(name: str, *, is_data: bool) -> dict[str, Any]:
        return small.run(shared_data / name, muons_and_jets(), is_data=is_data)

    return of


@pytest.mark.parametrize("name", SIMULATED)
def test_simulation_runs_with_variations(result: Result, name: str) -> None:
    sums = result(name, is_data=False)
    found = small.templates(sums, "all", "ht")
    assert sums["n_events"] == SIMULATED[name]
    assert sums["n_kept"] > 0
    assert set(found) == LABELS
    assert found["scale_up"].sum() != 0
    moved = not np.array_equal(found["scale_up"], found["nominal"])
    assert moved or sums["n_events"] < 20


@pytest.mark.parametrize("name", DATA)
def test_data_runs_with_the_nominal_only(result: Result, name: str) -> None:
    sums = result(name, is_data=True)
    assert set(small.templates(sums, "all", "ht")) == {"nominal"}
    assert small.templates(sums, "all", "ht")["nominal"].sum() == sums["n_kept"] > 0
    assert sums["n_events"] == DATA[name]


@pytest.mark.parametrize("name", EMPTY)
def test_files_without_events_pass(shared_data: Path, name: str) -> None:
    sums = small.processor(muons_and_jets()).process(small.chunk(shared_data / name, 0, 0))
    assert (sums["n_events"], sums["n_kept"], sums["sumw"].value) == (0, 0, 0.0)
    assert all(not values.any() for values in small.templates(sums, "all", "ht").values())


@pytest.mark.parametrize(
    ("is_data", "names"),
    [
        (False, ("nano/nano_dy.root", "rntuple/nano_dy_rntuple.root", "parquet/nano_dy.parquet")),
        (False, ("nano/nano_tree.root", "rntuple/nano_tree_rntuple.root")),
        (
            True,
            (
                "nano/nano_dimuon.root",
                "rntuple/nano_dimuon_rntuple.root",
                "parquet/nano_dimuon.parquet",
            ),
        ),
    ],
    ids=["dy", "tree", "dimuon"],
)
def test_every_format_gives_the_same_bits(
    result: Result, is_data: bool, names: tuple[str, ...]
) -> None:
    expected, *others = (result(name, is_data=is_data) for name in names)
    for got in others:
        assert got["sumw"] == expected["sumw"]
        for key, sums in expected["histograms"].items():
            assert got["histograms"][key].variations == sums.variations
            assert got["histograms"][key].sumw == sums.sumw
            assert got["histograms"][key].sumw2 == sums.sumw2


@pytest.mark.parametrize(
    ("name", "ref", "missing"),
    [
        ("nano/nano_tree.root", ("FatJet", None), "FatJet"),
        ("nano/nano_tt_v12.root", ("Jet", "btagDeepB"), "btagDeepB"),
        ("nano/nano_dy.root", ("HLT", "TkMu50"), "TkMu50"),
        ("nano/EGamma_F_Skim.root", ("event", "fixedGridRhoFastjetAll"), "fixedGridRhoFastjetAll"),
        ("nano/missing_luminosityBlock.root", ("event", "luminosityBlock"), "luminosityBlock"),
        ("nano/missing_luminosityBlock.root", ("event", "seed"), "luminosityBlock"),
        ("parquet/nano_dy.parquet", ("HLT", "TkMu50"), "TkMu50"),
        ("broken/missing_needed_branches.root", ("Jet", None), "Jet"),
        ("broken/missing_needed_branches.root", ("HLT", "TkMu50"), "HLT"),
    ],
)
def test_a_branch_that_a_real_file_lacks_is_named(
    shared_data: Path, name: str, ref: Any, missing: str
) -> None:
    quantity = observable("x", lambda x: ak.num(x) if x.ndim > 1 else x, ref)
    configuration = small.config(channels=[channel("all", [quantity])])
    with pytest.raises(MissingColumnError, match=missing):
        small.run(shared_data / name, configuration, is_data=True)


def test_simulation_without_generator_weight_names_it(shared_data: Path) -> None:
    with pytest.raises(MissingColumnError, match="genWeight"):
        small.run(shared_data / "nano/nano_dimuon.root", muons_and_jets())


def test_real_numbers_are_those_of_uproot(shared_data: Path, result: Result) -> None:
    name = "nano/nanoAOD_2015_CMS_Open_Data_ttbar.root"
    got = small.templates(result(name, is_data=False), "all", "ht")["nominal"]
    with uproot.open({str(shared_data / name): "Events"}) as tree:
        arrays = tree.arrays(["Jet_pt", "genWeight"])
    pt = arrays.Jet_pt[arrays.Jet_pt > 20]
    kept = ak.num(pt) >= 1
    expected = small.filled(ak.sum(pt, axis=1)[kept], arrays.genWeight[kept], EDGES)
    small.same(got, expected)


GOLDEN = {
    "Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt": 0,
    "Cert_294927-306462_13TeV_UL2017_Collisions17_GoldenJSON.txt": 0,
    "Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt": 40,
    "Cert_314472-325175_integration_challenge_copy.txt": 40,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_real_golden_jsons_certify_real_data_of_their_year(shared_data: Path, name: str) -> None:
    def certified(run: ak.Array, section: ak.Array, lumifile: str) -> ak.Array:
        return LumiMask(lumifile)(run, section)

    sections = [("event", "run"), ("event", "luminosityBlock")]
    lumifile = {"lumifile": str(shared_data / "golden" / name)}
    sums = small.run(
        shared_data / "nano/nano_dimuon.root",  # run 315267
        small.config(),
        is_data=True,
        weight_branch=None,
        lumi_mask=function(certified, *sections, static_kwargs=lumifile),
    )
    assert sums["n_kept"] == GOLDEN[name]

"""Event weights of the configuration: numbers worked out by hand, and the real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest

from example_cms.configs.configuration import config as source
from example_cms.configs.corrections import theory
from example_cms.configs.corrections.btag import number, of_flavour
from example_cms.configs.corrections.jets import CORRELATED, EACH_YEAR
from example_cms.configs.corrections.rates import CROSS_SECTIONS
from example_cms.configs.years import YEARS
from intccms.engine.object_corrections import correct
from intccms.engine.objects import Objects
from intccms.engine.variations import member_tables
from tests.example_cms.conftest import Chunk, chunk, loops, simulated


@pytest.fixture(scope="module")
def real(real_corrections: Path, run2: Path) -> Chunk:
    """Synthetic events of 2018 with the real corrections of that year."""
    return chunk(simulated(run2), real_corrections, process="ttbar_semilep")


@pytest.fixture(scope="module")
def good(real: Chunk) -> Objects:
    """Its good objects."""
    objects = correct(real.plan, real.objects, real.factors)[-1]
    jet, muon = objects["Jet"], objects["Muon"]
    jets = jet[(jet.pt > 30) & (abs(jet.eta) < 2.4)]
    muons = muon[(muon.pt > 55) & (abs(muon.eta) < 2.4)]
    return objects.replaced({"Jet": jets, "Muon": muons})


@pytest.fixture(scope="module")
def deep_jet(shared_data: Path) -> correctionlib.highlevel.Correction:
    path = shared_data / "corrections" / "BTV_2018_UL_btagging.json.gz"
    return correctionlib.CorrectionSet.from_file(str(path))["deepJet_shape"]


def btag_products(good: Objects, evaluator: Any, systematic: str, concerned: set[int]) -> Any:
    """Product over jets: the asked index where it concerns the flavour, else the central one."""
    jet = good["Jet"]
    columns = (jet.hadronFlavour, jet.eta, jet.pt, jet.btagDeepFlavB)
    products = []
    for jets in loops(*columns):
        factor = 1.0
        for flavour, eta, pt, score in jets:
            index = systematic if flavour in concerned else "central"
            factor *= evaluator.evaluate(index, flavour, abs(eta), pt, score)
        products.append(factor)
    return products


@pytest.mark.parametrize(
    ("name", "index", "flavours"),
    [
        ("btag_hf", "hf", {0, 5}),
        ("btag_lfstats1_2018", "lfstats1", {0, 5}),
        ("btag_cferr1", "cferr1", {4}),
        ("btag_jesRelativeJEREC1_2018", "jesRelativeJEREC1", {0, 5}),
    ],
)
def test_a_btag_source_leaves_jets_of_other_flavours_at_their_central_factor(
    real: Chunk, good: Objects, deep_jet: Any, name: str, index: str, flavours: set[int]
) -> None:
    assert ak.any(good["Jet"].hadronFlavour == 4)
    parts = {True: "btag_charm", False: "btag_light_heavy"}
    varied, other = parts[flavours == {4}], parts[flavours != {4}]
    for direction in ("up", "down"):
        made = real.varied(varied, name, direction, good) * real.nominal(other, good)
        expected = btag_products(good, deep_jet, f"{direction}_{index}", flavours)
        assert ak.to_list(made) == pytest.approx(expected, rel=1e-6)
        assert ak.to_list(made) != ak.to_list(real.nominal(varied, good))


def test_every_call_of_the_configuration_evaluates_on_real_files(
    real: Chunk, good: Objects
) -> None:
    for correction in real.plan.corrections:
        if correction.type == "event":
            values = [real.nominal(correction.name, good)]
            for found in correction.uncertainty_sources:
                if found.members is not None:
                    continue
                if found.processes is None or "ttbar_semilep" in found.processes:
                    directions = ("up", "down")
                    values += [
                        real.varied(correction.name, found.name, d, good) for d in directions
                    ]
            for value in values:
                assert np.isfinite(np.asarray(value)).all()
                assert np.all(np.asarray(value) > 0)
    for place in real.plan.members:
        ((labels, events, rows),) = member_tables(real.plan, place, good, {})
        assert len(events) == good.n
        assert rows.shape == (good.n, len(labels))
        assert np.all(rows > 0)


def test_every_key_exists_in_the_files_of_2018_and_of_the_first_part_of_2016(
    shared_data: Path,
) -> None:
    real = shared_data / "corrections"
    # the second part of 2016 is not at hand: the same names, with APV, in the first
    renamed = {"Summer19UL16_RunFGH": "Summer19UL16APV_RunEF", "Summer19UL16_": "Summer19UL16APV_"}
    renamed |= {"Summer20UL16_": "Summer20UL16APV_"}
    groups = {"puWeights": "LUM", "muon_Z": "MUO", "jet_jerc": "JME", "btagging": "BTV"}
    groups |= {"jetvetomaps": "JME"}
    sets: dict[Path, correctionlib.CorrectionSet] = {}
    n_keys = 0
    for year, folder in (("2018", "2018_UL"), ("2016", "2016preVFP_UL")):
        for entry in source["corrections"][year]:
            name = Path(entry.get("file", "")).name.split(".")[0]
            if name not in groups or (year, name) == ("2016", "jetvetomaps"):
                continue
            path = real / f"{groups[name]}_{folder}_{name}.json.gz"
            known = sets.get(path) or correctionlib.CorrectionSet.from_file(str(path))
            sets[path] = known
            sources = entry.get("uncertainty_sources", [])
            for key in filter(None, (entry.get("key"), *(one.get("key") for one in sources))):
                for old, new in renamed.items():
                    key = key.replace(old, new) if new not in key else key
                assert key in known, (path.name, key)
                n_keys += 1
    assert n_keys > 80


def test_muon_factors_are_those_of_the_cuts(real: Chunk, good: Objects) -> None:
    keys = {year.name: {} for year in YEARS}
    for year, entries in source["corrections"].items():
        keys[year] = {e["name"]: e["key"] for e in entries if e["name"].startswith("muon_")}
        assert keys[year]["muon_id"] == "NUM_TightID_DEN_TrackerMuons"
        assert keys[year]["muon_iso"] == "NUM_LooseRelTkIso_DEN_HighPtIDandIPCut"
        probes = "_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose"
        paths = "Mu50_or_TkMu50" if year == "2016" else "Mu50_or_OldMu100_or_TkMu100"
        assert keys[year]["muon_trigger"] == f"NUM_{paths}{probes}"
    (mask,) = (m for m in source["good_object_masks"]["analysis"] if m["object"] == "Muon")
    assert {("Muon", "tightId"), ("Muon", "highPtId"), ("Muon", "tkIsoId")} <= set(mask["use"])


def test_jes_sources_move_the_btag_factors_with_them() -> None:
    for year in YEARS:
        entries = {entry["name"]: entry for entry in source["corrections"][year.name]}
        jes = [one["name"] for one in entries["jes"]["uncertainty_sources"]]
        sources = entries["btag_light_heavy"]["uncertainty_sources"]
        together = {one["varies_with"][0]: one for one in sources if "varies_with" in one}
        assert set(together) == set(jes)
        for source_name in (*CORRELATED, *EACH_YEAR):
            name = next(one for one in jes if one.startswith(f"jes{source_name}"))
            assert together[name]["up_and_down_idx"][0] == f"up_jes{source_name}"


def test_each_flavour_is_seen_by_one_of_the_two_corrections() -> None:
    flavour = ak.Array([[0, 4, 5], [4]])
    eta, pt, score = (ak.Array([[-1.0, 1.0, -2.0], [0.5]]) for _ in range(3))
    charm = of_flavour(is_charm=True)(flavour, eta, pt, score)
    other = of_flavour(is_charm=False)(flavour, eta, pt, score)
    assert [one.to_list() for one in charm[:2]] == [[[4], [4]], [[1.0], [0.5]]]
    assert [one.to_list() for one in other[:2]] == [[[0, 5], []], [[1.0, 2.0], []]]


def test_the_yield_ratio_goes_by_the_number_of_jets(run2: Path) -> None:
    assert number(ak.Array([[40.0, 50.0], []])).to_list() == [2, 0]
    made = chunk(simulated(run2), run2, process="ttbar_semilep")
    counts = ak.num(made.objects["Jet"].pt)
    ratio = ak.to_list(made.nominal("btag_yield_ratio", made.objects))
    assert ratio == pytest.approx([1 - 0.004 * min(count, 8) for count in counts])


def test_prefiring_is_nominal_up_and_down_as_nanoaod_has_it(run2: Path) -> None:
    made = chunk(simulated(run2, year="2017"), run2, process="ttbar_semilep", year="2017")
    weights = made.objects["L1PreFiringWeight"]
    assert ak.to_list(made.nominal("prefiring", made.objects)) == ak.to_list(ak.Array(weights.Nom))
    for direction, column in (("up", weights.Up), ("down", weights.Dn)):
        value = made.varied("prefiring", "prefiring_2017", direction, made.objects)
        assert ak.to_list(value) == ak.to_list(ak.Array(column))


def test_theory_weights_change_no_rate() -> None:
    for entries in source["corrections"].values():
        found = {
            one["name"]: one
            for entry in entries
            for one in entry.get("uncertainty_sources", ())
            if one.get("members")
        }
        assert {"pdf", "isr", "fsr", "scale_ttbar", "scale_signal", "scale_wjets"} <= set(found)
        assert "scale_diboson" not in found
        assert all(one["normalise"] for one in found.values())
        assert found["pdf"]["lha_id"] == 325300


def test_top_weight_is_the_geometric_mean_of_both_last_copies() -> None:
    last, first = 1 << 13, 1 << 12
    pt = ak.Array([[100.0, 300.0, 90.0, 20.0], [700.0, 40.0]])
    pdg_id = ak.Array([[6, -6, 6, 5], [6, -6]])
    flags = ak.Array([[last, last, first, last], [last, last]])
    expected = np.exp([0.5 * (0.0615 * 2 - 0.0005 * 400), 0.5 * (0.0615 * 2 - 0.0005 * 540)])
    assert ak.to_list(theory.top_weight(pt, pdg_id, flags)) == pytest.approx(expected)


def test_luminosity_parts_add_up_to_the_published_totals() -> None:
    totals = {"2016": 0.012, "2017": 0.023, "2018": 0.025}
    for year in YEARS:
        parts = year.lumi_uncertainties
        assert np.sqrt(sum(size**2 for size in parts.values())) == pytest.approx(
            totals[year.name], abs=5e-4
        )
        assert f"lumi_{year.name}" in parts
    assert all("lumi_run2" in year.lumi_uncertainties for year in YEARS)


def test_every_background_has_a_rate_uncertainty() -> None:
    backgrounds = {
        entry["name"]
        for entry in source["datasets"]["datasets"]
        if not entry["name"].startswith(("zprime", "data"))
    }
    concerned = [name for *_, processes in CROSS_SECTIONS.values() for name in processes]
    assert sorted(concerned) == sorted(backgrounds)

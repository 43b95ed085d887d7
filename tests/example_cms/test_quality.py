"""Which jets are trusted, against plain loops: pile-up identification and maps of the detector."""

from __future__ import annotations

import math
from pathlib import Path

import awkward as ak
import correctionlib
import numpy as np
import pytest

from example_cms.configs.configuration import config as source
from example_cms.configs.corrections.jets import type1_share
from example_cms.configs.corrections.quality import on_the_map, outside_of_the_map
from example_cms.configs.cuts import baseline, no_pileup
from example_cms.configs.years import YEARS
from intccms.engine.object_corrections import correct
from intccms.engine.objects import Objects
from tests.example_cms.conftest import Chunk, chunk, loops, simulated

MAP_COLUMNS = ("pt", "eta", "phi", "jetId", "puId", "chEmEF", "neEmEF")


def in_bad_part(jets: list[tuple[float, ...]], muons: list[tuple[float, ...]], bad: object) -> bool:
    """Whether a jet that counts is in a spot of the map."""
    for pt, eta, phi, jet_id, pileup_id, charged, neutral in jets:
        is_muon = any(
            math.hypot(eta - other, math.remainder(phi - angle, 2 * math.pi)) < 0.2
            for other, angle in muons
        )
        is_real = pt >= 50 or pileup_id > 0
        counts = pt > 15 and int(jet_id) & 2 and is_real and charged + neutral < 0.9
        place = (min(max(eta, -5.19), 5.19), min(max(phi, -3.14159), 3.14159))
        if counts and not is_muon and bad.evaluate("jetvetomap", *place) != 0:  # type: ignore[attr-defined]
            return True
    return False


def check_flags(made: Chunk, base_dir: Path, year: str, name: str) -> int:
    """Compare each event's flag with a loop over its calibrated jets; return how many are bad."""
    path = base_dir / "example_cms" / "corrections" / year / "jetvetomaps.json.gz"
    bad = correctionlib.CorrectionSet.from_file(str(path))[name]
    stages = correct(made.plan, made.objects, made.factors)
    place = [one.name for one in made.plan.corrections].index("jet_veto_map")
    jets = list(loops(*(stages[place]["Jet"][column] for column in MAP_COLUMNS)))
    muons = list(loops(*(made.objects["Muon"][column] for column in ("eta", "phi"))))
    flags = np.asarray(stages[-1]["Flag"]["jetVetoMap"])
    expected = [not in_bad_part(*one, bad) for one in zip(jets, muons, strict=True)]
    assert flags.tolist() == expected
    return expected.count(False)


@pytest.mark.parametrize("year", ["2016", "2017", "2018"])
def test_events_with_jets_in_the_map_are_flagged(run2: Path, year: str) -> None:
    name = f"Summer19UL{year[2:]}_V1"
    for process, sample in (("ttbar_semilep", "TTToSemiLeptonic"), ("data", "SingleMuonRun")):
        era = {"2016": "G", "2017": "B", "2018": "A"}[year] if process == "data" else ""
        made = chunk(simulated(run2, sample + era, year), run2, process=process, year=year)
        assert 0 < check_flags(made, run2, year, name) < 0.3 * made.objects.n


@pytest.mark.parametrize(("name", "process"), [("nano_dy", "dyjets"), ("nano_dimuon", "data")])
def test_real_jets_on_the_real_map_too(
    real_corrections: Path, shared_data: Path, name: str, process: str
) -> None:
    path = shared_data / "nano" / f"{name}.root"
    made = chunk(path, real_corrections, process=process, n_events=40)
    assert check_flags(made, real_corrections, "2018", "Summer19UL18_V1") < 40


def test_the_simulated_jets_on_the_real_map(real_corrections: Path, run2: Path) -> None:
    made = chunk(simulated(run2), real_corrections, process="ttbar_semilep")
    assert check_flags(made, real_corrections, "2018", "Summer19UL18_V1") > 0


def test_what_does_not_count_on_the_map() -> None:
    one = {"pt": 60.0, "eta": 0.5, "phi": 3.2, "jetId": 6, "puId": 0, "chEmEF": 0.1, "neEmEF": 0.1}
    others = [{}, {"pt": 14.0}, {"pt": 40.0}, {"jetId": 1}, {"neEmEF": 0.85}, {"eta": 1.0}]
    jets = ak.Array([[one | other] for other in others] + [[]])
    muons = ak.Array([[{"eta": 1.1, "phi": -3.1}]] * len(others) + [[]])
    eta, phi = on_the_map(jets, muons)
    assert ak.max(phi) <= 3.1415926536
    flags = outside_of_the_map(ak.ones_like(eta), jets, muons, ak.ones_like(eta))
    assert flags.to_list() == [False, True, True, True, True, True, True]


def test_an_event_with_a_flag_is_cut() -> None:
    objects = ak.Array([[60.0]] * 2), ak.Array([[60.0, 50.0]] * 2)
    selection = baseline(*objects, ak.Array([1.0, 0.0]))
    assert list(selection.all("baseline")) == [True, False]


def test_pileup_is_below_50_gev_only() -> None:
    pt, flags = ak.Array([[40.0, 40.0, 50.0, 40.0]]), ak.Array([[0, 1, 0, 4]])
    assert no_pileup(pt, flags).to_list() == [[False, True, True, True]]


def good_jets_of(made: Chunk) -> Objects:
    objects = correct(made.plan, made.objects, made.factors)[-1]
    jet = objects["Jet"]
    kept = (jet.pt > 30) & (abs(jet.eta) < 2.4) & ((jet.pt >= 50) | (jet.puId > 0))
    return objects.replaced({"Jet": jet[kept]})


@pytest.mark.parametrize("year", ["2016", "2017", "2018"])
def test_pileup_factors_are_those_of_real_jets_below_50_gev(run2: Path, year: str) -> None:
    made = chunk(simulated(run2, year=year), run2, process="ttbar_semilep", year=year)
    good = good_jets_of(made)
    path = run2 / "example_cms" / "corrections" / year / "jmar.json.gz"
    factors = correctionlib.CorrectionSet.from_file(str(path))["PUJetID_eff"]
    columns = [good["Jet"][name] for name in ("eta", "pt", "genJetIdx")]
    name = f"pileup_jet_id_{year}"
    for side, word in ((None, "nom"), ("up", "up"), ("down", "down")):
        got = (
            made.nominal("pileup_jet_id", good)
            if side is None
            else made.varied("pileup_jet_id", name, side, good)
        )
        expected = []
        for jets in loops(*columns):
            product = 1.0
            for eta, pt, index in jets:
                if pt < 50 and index >= 0:
                    product *= factors.evaluate(eta, pt, word, "L")
            expected.append(product)
        assert np.asarray(got) == pytest.approx(expected)
        assert len(set(expected)) > 3


def test_each_year_has_its_own_nuisance_of_the_pileup_identification() -> None:
    for year in YEARS:
        (entry,) = (
            one for one in source["corrections"][year.name] if one["name"] == "pileup_jet_id"
        )
        assert [one["name"] for one in entry["uncertainty_sources"]] == [
            f"pileup_jet_id_{year.name}"
        ]


def test_the_share_of_a_jet_in_the_type_1_correction() -> None:
    pt, muons = ak.Array([[100.0, 16.0, 15.0, 50.0], []]), ak.Array([[0.2, 0.1, 0.0, 0.0], []])
    charged, neutral = ak.Array([[0.1, 0.1, 0.1, 0.3], []]), ak.Array([[0.2, 0.2, 0.2, 0.65], []])
    assert type1_share(pt, muons, charged, neutral).to_list() == [[0.8, 0, 0, 0], []]

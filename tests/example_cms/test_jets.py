"""Jet energies of the configuration against a plain loop with correctionlib."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import correctionlib
import numpy as np
import pytest

from example_cms.configs.corrections.jets import (
    CORRELATED,
    EACH_YEAR,
    in_dead_sectors,
    jes_sources,
    jet_energy,
    positive,
    smearing_inputs,
    unclustered,
)
from example_cms.configs.cuts import good_jets
from example_cms.configs.years import YEARS, Year
from intccms.engine.object_corrections import Starts, correct
from intccms.engine.objects import event_seeds
from tests.example_cms.conftest import Chunk, chunk, simulated

BY_NAME = {year.name: year for year in YEARS}
JETS = ("pt", "eta", "phi", "mass", "rawFactor", "area", "muonSubtrFactor", "chEmEF", "neEmEF")


@dataclass
class Event:
    """What a plain loop needs of one event."""

    jets: list[dict[str, float]]
    generated: list[dict[str, float]]
    rho: float
    seed: int
    run: int
    met: tuple[float, float]


class Loop:
    """The same calibration, jet by jet; columns are stored as 32-bit numbers after each step."""

    def __init__(self, base_dir: Path, year: Year) -> None:
        own = base_dir / "example_cms" / "corrections"
        jets = correctionlib.CorrectionSet.from_file(str(own / year.name / "jet_jerc.json.gz"))
        smear = correctionlib.CorrectionSet.from_file(str(own / "jer_smear.json.gz"))
        self.year, self.jets, self.smear = year, jets, smear["JERSmear"]

    def level(self, campaign: str, name: str, jet: dict[str, float], rho: float) -> float:
        evaluator = self.jets[f"{campaign}_{name}_AK4PFchs"]
        known = {"JetPt": jet["pt"], "JetEta": jet["eta"], "JetA": jet["area"], "Rho": rho}
        return float(evaluator.evaluate(*(known[one.name] for one in evaluator.inputs)))

    def scaled(self, jet: dict[str, float], factor: float) -> dict[str, float]:
        pt, mass = (float(np.float32(jet[name] * factor)) for name in ("pt", "mass"))
        return jet | {"pt": pt, "mass": mass}

    def calibrated(self, event: Event, jet: dict[str, float], campaign: str) -> dict[str, float]:
        jet = self.scaled(jet, float(np.float32(1) - np.float32(jet["rawFactor"])))
        levels = ["L1FastJet", "L2Relative"]
        levels += [] if campaign == self.year.jec else ["L2L3Residual"]
        for level in levels:
            jet = self.scaled(jet, self.level(campaign, level, jet, event.rho))
        return jet

    def smeared(self, event: Event, jet: dict[str, float], systematic: str) -> dict[str, float]:
        resolution = self.level(self.year.jer, "PtResolution", jet, event.rho)
        scale = self.jets[f"{self.year.jer}_ScaleFactor_AK4PFchs"].evaluate(jet["eta"], systematic)
        resolution, scale = float(np.float32(resolution)), float(np.float32(scale))
        gen_pt = self.matched(event, jet, resolution)
        inputs = (jet["pt"], jet["eta"], gen_pt, event.rho, event.seed, resolution, scale)
        return self.scaled(jet, max(self.smear.evaluate(*inputs), 0.01))

    def matched(self, event: Event, jet: dict[str, float], resolution: float) -> float:
        index = int(jet["genJetIdx"])
        if not 0 <= index < len(event.generated):
            return -1.0
        found = event.generated[index]
        apart = math.remainder(jet["phi"] - found["phi"], 2 * math.pi)
        if math.hypot(jet["eta"] - found["eta"], apart) >= 0.2:
            return -1.0
        is_alike = abs(jet["pt"] - found["pt"]) < 3 * resolution * jet["pt"]
        return found["pt"] if is_alike else -1.0


def events_of(made: Chunk, *, is_data: bool) -> list[Event]:
    objects = made.objects
    names = JETS if is_data else (*JETS, "genJetIdx")
    jets = ak.to_list(ak.zip({name: ak.Array(objects["Jet"][name]) for name in names}))
    generated = [[] for _ in jets]
    if not is_data:
        columns = {name: ak.Array(objects["GenJet"][name]) for name in ("pt", "eta", "phi")}
        generated = ak.to_list(ak.zip(columns))
    flat = {name: np.asarray(objects[name]) for name in ("run", "luminosityBlock", "event")}
    seeds = event_seeds(*flat.values()).astype(np.int64)
    rho = np.asarray(objects["fixedGridRhoFastjetAll"])
    met = [np.asarray(objects["MET"][name]) for name in ("pt", "phi")]
    return [
        Event(
            jets[i],
            generated[i],
            float(rho[i]),
            int(seeds[i]),
            int(flat["run"][i]),
            (float(met[0][i]), float(met[1][i])),
        )
        for i in range(len(jets))
    ]


def type1(jet: dict[str, float]) -> float:
    """What of a jet counts in the type-1 correction."""
    share = 1 - jet["muonSubtrFactor"]
    if jet["pt"] * share <= 15 or jet["chEmEF"] + jet["neEmEF"] >= 0.9:
        return 0.0
    return share


def check(made: Chunk, loop: Loop, *, systematic: str | None) -> None:
    """Compare every jet and the missing momentum of every event."""
    is_data = systematic is None
    corrected = correct(made.plan, made.objects, made.factors)[-1]
    pt, mass = (ak.to_list(ak.Array(corrected["Jet"][name])) for name in ("pt", "mass"))
    met_pt, met_phi = (np.asarray(corrected["MET"][name]) for name in ("pt", "phi"))
    n_jets = 0
    for i, event in enumerate(events_of(made, is_data=is_data)):
        campaign = loop.year.jec
        if is_data:
            era = [one for one in loop.year.eras if one.first_run <= event.run][-1]
            campaign = era.jec
        after = [loop.calibrated(event, jet, campaign) for jet in event.jets]
        if systematic is not None:
            after = [loop.smeared(event, jet, systematic) for jet in after]
        px, py = event.met[0] * math.cos(event.met[1]), event.met[0] * math.sin(event.met[1])
        for old, new in zip(event.jets, after, strict=True):
            share = type1(old)
            px -= share * (new["pt"] - old["pt"]) * math.cos(old["phi"])
            py -= share * (new["pt"] - old["pt"]) * math.sin(old["phi"])
        after.sort(key=lambda jet: -jet["pt"])
        assert pt[i] == pytest.approx([jet["pt"] for jet in after], rel=1e-6)
        assert mass[i] == pytest.approx([jet["mass"] for jet in after], rel=1e-6)
        x, y = met_pt[i] * math.cos(met_phi[i]), met_pt[i] * math.sin(met_phi[i])
        assert (x, y) == pytest.approx((px, py), abs=2e-3)
        n_jets += len(after)
    assert n_jets > 100


@pytest.mark.parametrize("year", ["2016", "2017", "2018"])
def test_simulated_jets_agree_with_a_plain_loop(run2: Path, year: str) -> None:
    made = chunk(simulated(run2, year=year), run2, process="ttbar_semilep", year=year)
    check(made, Loop(run2, BY_NAME[year]), systematic="nom")


def test_jets_of_data_agree_with_a_plain_loop(run2: Path) -> None:
    made = chunk(simulated(run2, "SingleMuonRunA"), run2, process="data")
    check(made, Loop(run2, BY_NAME["2018"]), systematic=None)


# data of v6 with the calibration of the legacy reprocessing: the numbers mean nothing
@pytest.mark.parametrize(("name", "process"), [("nano_dy", "dyjets"), ("nano_dimuon", "data")])
def test_real_jets_with_real_corrections_agree_too(
    real_corrections: Path, shared_data: Path, name: str, process: str
) -> None:
    path = shared_data / "nano" / f"{name}.root"
    made = chunk(path, real_corrections, process=process, n_events=40)
    systematic = None if process == "data" else "nom"
    check(made, Loop(real_corrections, BY_NAME["2018"]), systematic=systematic)


def test_resolution_up_is_more_smearing_of_the_same_kind(run2: Path) -> None:
    made = chunk(simulated(run2), run2, process="ttbar_semilep")
    stages = correct(made.plan, made.objects, made.factors)
    starts = Starts(made.plan, stages, np.arange(made.objects.n), made.factors, {})
    (shift,) = (one for one in made.plan.object_systematics if one.label == "jer_2018_up")
    columns = starts.shifted(shift)
    (moved,) = (values for ref, values in columns.items() if ref == ("Jet", "pt"))
    loop, expected = Loop(run2, BY_NAME["2018"]), []
    for event in events_of(made, is_data=False):
        jets = [loop.calibrated(event, jet, loop.year.jec) for jet in event.jets]
        expected += sorted(-loop.smeared(event, jet, "up")["pt"] for jet in jets)
    nominal = np.asarray(ak.flatten(ak.Array(stages[-1]["Jet"].pt)))
    assert sorted(moved) == pytest.approx(sorted(-np.array(expected)), rel=1e-6)
    assert not np.array_equal(moved, nominal)


def test_what_nanoaod_had_applied_is_taken_back_and_applied_again(run2: Path) -> None:
    """The synthetic raw factor belongs to the synthetic corrections: data stay as they are."""
    made = chunk(simulated(run2, "SingleMuonRunA"), run2, process="data")
    corrected = correct(made.plan, made.objects, made.factors)[-1]
    for collection in ("Jet", "MET"):
        before, after = made.objects[collection].pt, corrected[collection].pt
        flat = [np.asarray(ak.flatten(ak.Array(pt), axis=None)) for pt in (before, after)]
        assert flat[1] == pytest.approx(flat[0], rel=2e-4, abs=1e-2)


def test_there_are_27_sources_17_of_them_correlated() -> None:
    assert (len(CORRELATED), len(EACH_YEAR)) == (17, 10)
    names = [set(jes_sources(year).values()) for year in YEARS]
    assert [len(one) for one in names] == [27, 27, 27]
    assert names[0] & names[1] & names[2] == {f"jes{source}" for source in CORRELATED}
    assert "jesRelativeJEREC1_2017" in names[1] - names[2]


def test_only_data_get_the_residual_and_only_in_their_own_runs() -> None:
    for year in YEARS:
        for step in jet_energy(year):
            is_residual = "L2L3Residual" in step.get("key", "")
            assert not is_residual or step["applies_to"] == "data"
    steps = {step["name"]: step for step in jet_energy(BY_NAME["2018"])}
    chosen = steps["jec_L2L3Residual_B"]["transform_out"]
    run = np.array([316995, 316998, 319312, 319313])
    factor = np.full(4, 1.5)
    assert chosen(factor, factor, factor, run).tolist() == [1, 1.5, 1.5, 1]


def test_a_generated_jet_far_away_or_of_another_momentum_is_no_match() -> None:
    jets = ak.Array(
        [
            [
                {"pt": 100.0, "eta": 0.0, "phi": 3.1, "genJetIdx": index}
                for index in (0, 1, 2, 3, -1, 7)
            ]
        ]
    )
    generated = ak.Array(
        [
            [
                {"pt": 110.0, "eta": 0.1, "phi": -3.1},
                {"pt": 110.0, "eta": 0.3, "phi": 3.1},
                {"pt": 140.0, "eta": 0.0, "phi": 3.1},
                {"pt": 129.0, "eta": 0.0, "phi": 3.0},
            ]
        ]
    )
    resolution = ak.full_like(jets.pt, 0.1)
    inputs = smearing_inputs(
        jets, generated, ak.Array([10.0]), ak.Array([1]), resolution, resolution
    )
    assert inputs[2].to_list() == [[110.0, -1.0, -1.0, 129.0, -1.0, -1.0]]


def test_no_jet_is_turned_round() -> None:
    assert positive(ak.Array([[-0.2, 1.1], []])).to_list() == [[0.01, 1.1], []]


def test_unclustered_energy_is_a_vector_that_is_added_or_taken_away() -> None:
    pt, phi = ak.Array([50.0, 30.0, 10.0]), ak.Array([0.3, 3.1, -3.0])
    dx, dy = ak.Array([3.0, -5.0, 12.0]), ak.Array([-4.0, 2.0, 0.0])
    for sign in (1, -1):
        by, turned = unclustered(pt, phi, dx, dy, sign=sign)
        for i in range(3):
            x = pt[i] * math.cos(phi[i]) + sign * dx[i]
            y = pt[i] * math.sin(phi[i]) + sign * dy[i]
            assert pt[i] + by[i] == pytest.approx(math.hypot(x, y))
            angle = phi[i] + turned[i]
            assert math.cos(angle - math.atan2(y, x)) == pytest.approx(1.0)
            assert abs(turned[i]) <= math.pi


def test_the_shift_of_the_missing_momentum_adds_to_what_the_jets_change(run2: Path) -> None:
    made = chunk(simulated(run2), run2, process="ttbar_semilep")
    stages = correct(made.plan, made.objects, made.factors)
    up = next(one for one in made.plan.object_systematics if one.label == "met_unclustered_up")
    index = np.arange(made.objects.n)
    columns = Starts(made.plan, stages, index, made.factors, {}).shifted(up)
    found = {ref.field: np.asarray(new, dtype="f8") for ref, new in columns.items()
             if ref.obj == "MET"}  # fmt: skip
    nominal, read = stages[-1]["MET"], made.objects["MET"]
    for trigonometric, name in ((np.cos, "X"), (np.sin, "Y")):
        delta = np.asarray(read[f"MetUnclustEnUpDelta{name}"], dtype="f8")
        before = np.asarray(nominal.pt, "f8") * trigonometric(np.asarray(nominal.phi, "f8"))
        after = found["pt"] * trigonometric(found["phi"])
        np.testing.assert_allclose(after - before, delta, atol=5e-3)
    assert {ref.obj for ref in columns if ref.field} == {"MET", "Jet", "Flag"}
    jets = next(new for ref, new in columns.items() if ref == ("Jet", "pt"))
    np.testing.assert_array_equal(jets, np.asarray(ak.flatten(ak.Array(stages[-1]["Jet"].pt))))


def test_jets_in_the_dead_sectors_lose_energy() -> None:
    pt = ak.Array([[50.0, 50.0, 50.0, 50.0, 10.0, 50.0]])
    eta = ak.Array([[-2.0, -2.7, -1.0, -2.0, -2.0, -2.0]])
    phi = ak.Array([[-1.0, -1.0, -1.0, 1.0, -1.0, -1.0]])
    jet_id = ak.Array([[6, 6, 6, 6, 6, 0]])
    assert in_dead_sectors(pt, eta, phi, jet_id).to_list() == [[0.8, 0.65, 1, 1, 1, 1]]
    with_them = [year.name for year in YEARS if year.has_dead_sectors]
    assert with_them == ["2018"]


def test_the_jet_that_is_the_muon_is_none_of_the_event() -> None:
    pt, jet_id = ak.Array([[60.0, 60.0, 60.0]] * 2), ak.Array([[6, 6, 6]] * 2)
    eta, phi = ak.Array([[0.1, 0.1, 0.1]] * 2), ak.Array([[3.1, -3.1, 0.0]] * 2)
    pileup_id = ak.Array([[0, 0, 0]] * 2)
    muons = ak.zip({"eta": [[0.0, 0.1], []], "phi": [[3.1, 0.0], []]})
    good = good_jets(pt, eta, phi, jet_id, pileup_id, muons)
    assert good.to_list() == [[False, False, True], [True, True, True]]

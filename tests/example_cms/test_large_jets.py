"""Energies of large jets against a plain loop, and the sources that they share with the others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest

from example_cms.configs.configuration import config as source
from example_cms.configs.corrections.jets import jes_sources
from example_cms.configs.years import YEARS
from intccms.engine.object_corrections import Starts, correct
from intccms.engine.objects import event_seeds
from tests.example_cms.conftest import Chunk, chunk, simulated

BY_NAME = {year.name: year for year in YEARS}
Jet = dict[str, float]


class Loop:
    """The calibration of large jets, one by one; stored as 32-bit numbers after each step."""

    def __init__(self, base_dir: Path, year: str) -> None:
        own = base_dir / "example_cms" / "corrections"
        self.year = BY_NAME[year]
        self.large, self.ordinary, smear = (
            correctionlib.CorrectionSet.from_file(str(own / name))
            for name in (
                f"{year}/fatJet_jerc.json.gz",
                f"{year}/jet_jerc.json.gz",
                "jer_smear.json.gz",
            )
        )
        self.smear = smear["JERSmear"]

    def scaled(self, jet: Jet, factor: float) -> Jet:
        return jet | {name: float(np.float32(jet[name] * factor)) for name in ("pt", "mass")}

    def calibrated(self, jet: Jet, run: int | None) -> Jet:
        jet = self.scaled(jet, float(np.float32(1) - np.float32(jet["rawFactor"])))
        campaign, levels = self.year.jec, ["L2Relative"]
        if run is not None:
            campaign = [era for era in self.year.eras if era.first_run <= run][-1].jec
            levels += ["L2L3Residual"]
        for level in levels:
            evaluator = self.large[f"{campaign}_{level}_AK8PFPuppi"]
            jet = self.scaled(jet, evaluator.evaluate(jet["eta"], jet["pt"]))
        return jet

    def smeared(self, jet: Jet, generated: list[Jet], rho: float, seed: int) -> Jet:
        name = f"{self.year.jer}_PtResolution_AK4PFchs"
        known = {"JetEta": jet["eta"], "JetPt": jet["pt"], "Rho": rho}
        evaluator = self.ordinary[name]
        resolution = evaluator.evaluate(*(known[one.name] for one in evaluator.inputs))
        scale = self.ordinary[f"{self.year.jer}_ScaleFactor_AK4PFchs"].evaluate(jet["eta"], "nom")
        resolution, scale = (float(np.float32(x)) for x in (resolution, scale))
        gen_pt, index = -1.0, int(jet["genJetAK8Idx"])
        if 0 <= index < len(generated):
            found = generated[index]
            apart = math.remainder(jet["phi"] - found["phi"], 2 * math.pi)
            is_near = math.hypot(jet["eta"] - found["eta"], apart) < 0.4
            if is_near and abs(jet["pt"] - found["pt"]) < 3 * resolution * jet["pt"]:
                gen_pt = found["pt"]
        inputs = (jet["pt"], jet["eta"], gen_pt, rho, seed, resolution, scale)
        return self.scaled(jet, max(self.smear.evaluate(*inputs), 0.01))


def rows(objects: Any, name: str, *columns: str) -> list[list[Jet]]:
    found: list[list[Jet]] = ak.to_list(
        ak.zip({column: ak.Array(objects[name][column]) for column in columns})
    )
    return found


def looped(made: Chunk, loop: Loop, *, is_data: bool) -> list[list[Jet]]:
    objects, out = made.objects, []
    columns = ["pt", "eta", "phi", "mass", "rawFactor", *([] if is_data else ["genJetAK8Idx"])]
    jets = rows(objects, "FatJet", *columns)
    generated = [[]] * len(jets) if is_data else rows(objects, "GenJetAK8", "pt", "eta", "phi")
    run, section, event = (np.asarray(objects[n]) for n in ("run", "luminosityBlock", "event"))
    seeds = event_seeds(run, section, event).astype(np.int64)
    rho = np.asarray(objects["fixedGridRhoFastjetAll"])
    for i, of_event in enumerate(jets):
        after = [loop.calibrated(jet, int(run[i]) if is_data else None) for jet in of_event]
        if not is_data:
            after = [loop.smeared(jet, generated[i], float(rho[i]), int(seeds[i])) for jet in after]
        out.append(sorted(after, key=lambda jet: -jet["pt"]))
    return out


@pytest.mark.parametrize("year", ["2016", "2017", "2018"])
@pytest.mark.parametrize("is_data", [False, True])
def test_large_jets_agree_with_a_plain_loop(run2: Path, year: str, is_data: bool) -> None:
    era = {"2016": "G", "2017": "C", "2018": "B"}[year]
    sample = f"SingleMuonRun{era}" if is_data else "TTToSemiLeptonic"
    process = "data" if is_data else "ttbar_semilep"
    made = chunk(simulated(run2, sample, year), run2, process=process, year=year)
    corrected = correct(made.plan, made.objects, made.factors)[-1]
    got = rows(corrected, "FatJet", "pt", "mass")
    expected = looped(made, Loop(run2, year), is_data=is_data)
    for jets, wanted in zip(got, expected, strict=True):
        for name in ("pt", "mass"):
            assert [jet[name] for jet in jets] == pytest.approx(
                [jet[name] for jet in wanted], rel=1e-6
            )
    assert sum(map(len, got)) > 50


def test_large_jets_of_data_stay_as_they_are(run2: Path) -> None:
    """The synthetic raw factor belongs to the synthetic corrections."""
    made = chunk(simulated(run2, "SingleMuonRunA"), run2, process="data")
    corrected = correct(made.plan, made.objects, made.factors)[-1]
    before, after = (ak.flatten(ak.Array(one["FatJet"].pt)) for one in (made.objects, corrected))
    assert np.asarray(after) == pytest.approx(np.asarray(before), rel=2e-4)


@pytest.mark.parametrize("name", ["FlavorQCD", "RelativeSample"])
@pytest.mark.parametrize("side", ["up", "down"])
def test_one_nuisance_moves_both_kinds_of_jets(run2: Path, name: str, side: str) -> None:
    made = chunk(simulated(run2), run2, process="ttbar_semilep")
    stages = correct(made.plan, made.objects, made.factors)
    label = f"{jes_sources(BY_NAME['2018'])[name]}_{side}"
    (shift,) = (one for one in made.plan.object_systematics if one.label == label)
    index = np.arange(made.objects.n)
    columns = Starts(made.plan, stages, index, made.factors, {}).shifted(shift)
    moved = {ref.obj: values for ref, values in columns.items() if ref.field == "pt"}
    sign, loop = {"up": 1, "down": -1}[side], Loop(run2, "2018")
    for collection, algorithm, files in (
        ("FatJet", "AK8PFPuppi", loop.large),
        ("Jet", "AK4PFchs", loop.ordinary),
    ):
        size = files[f"{BY_NAME['2018'].jec}_{name}_{algorithm}"]
        expected = [
            sorted(-jet["pt"] * (1 + sign * size.evaluate(jet["eta"], jet["pt"])) for jet in jets)
            for jets in rows(stages[-1], collection, "pt", "eta")
        ]
        flat = [-pt for of_event in expected for pt in of_event]
        assert np.asarray(moved[collection]) == pytest.approx(flat, rel=1e-6)
        nominal = np.asarray(ak.flatten(ak.Array(stages[-1][collection].pt)))
        assert not np.array_equal(moved[collection], nominal)


def test_resolution_and_dead_sectors_move_both_too(run2: Path) -> None:
    made = chunk(simulated(run2), run2, process="ttbar_semilep")
    for label in ("jer_2018_up", "dead_sectors_2018_down"):
        (shift,) = (one for one in made.plan.object_systematics if one.label == label)
        assert {ref.obj for ref in made.plan.touched[shift.label]} >= {"Jet", "FatJet", "MET"}


def test_large_jets_are_not_carried_into_the_missing_momentum() -> None:
    for year in YEARS:
        for entry in source["corrections"][year.name]:
            carries = entry.get("propagate_to") is not None
            assert not (carries and entry["name"].startswith("fatjet_"))

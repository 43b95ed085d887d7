from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import correctionlib
import numpy as np
import pytest

from intccms.errors import InputError
from nanosample.calibration import correction_set, pileup_drawn, raw_factor
from nanosample.settings import settings

CAMPAIGN = "Summer19UL16_V7_MC"
SOURCES = list(settings()["jet_sources"])


def evaluators(file: str, *keys: str) -> correctionlib.CorrectionSet:
    text = correction_set(file, keys).model_dump_json(exclude_unset=True)
    return correctionlib.CorrectionSet.from_string(text)


@pytest.fixture(scope="module")
def jets() -> correctionlib.CorrectionSet:
    return evaluators("jet_jerc.json.gz", f"{CAMPAIGN}_FlavorQCD_AK4PFchs")


@pytest.fixture(scope="module")
def btag() -> correctionlib.Correction:
    return evaluators("2017/btagging.json.gz", "deepJet_shape")["deepJet_shape"]


def test_pileup_weights_turn_simulation_into_data() -> None:
    made = evaluators("pu.json.gz", "Collisions16_UltraLegacy_goldenJSON")
    weight = made["Collisions16_UltraLegacy_goldenJSON"]
    rng = np.random.default_rng(1)
    simulated = pileup_drawn(200_000, rng, is_data=False)
    data = pileup_drawn(200_000, rng, is_data=True)
    nominal = weight.evaluate(simulated, "nominal")
    assert nominal.mean() == pytest.approx(1, abs=0.01)
    assert np.average(simulated, weights=nominal) == pytest.approx(data.mean(), abs=0.1)
    up, down = (
        np.average(simulated, weights=weight.evaluate(simulated, name)) for name in ("up", "down")
    )
    assert down < data.mean() < up


def test_values_outside_the_bins_are_clamped() -> None:
    made = evaluators("muon_Z.json.gz", "NUM_TightID_DEN_TrackerMuons")
    factor = made["NUM_TightID_DEN_TrackerMuons"]
    assert factor.evaluate(3.0, 5e5, "nominal") == factor.evaluate(2.39, 9e3, "nominal")
    assert factor.evaluate(-1.0, 60.0, "nominal") == factor.evaluate(1.0, 60.0, "nominal")


def test_muon_factors_are_a_little_below_one_with_their_uncertainty() -> None:
    made = evaluators("muon_Z.json.gz", "NUM_Mine_DEN_Yours")
    assert "NUM_Mine_DEN_Yours" in made
    assert len(made) > 10
    for factor in made.values():
        nominal, up, down, stat, syst = (
            factor.evaluate(1.7, 80.0, name)
            for name in ("nominal", "systup", "systdown", "stat", "syst")
        )
        assert 0.9 < down < nominal < up
        assert nominal < 1
        assert up - nominal == pytest.approx(np.hypot(stat, syst))


def test_all_27_sources_come_with_any_of_them(jets: correctionlib.CorrectionSet) -> None:
    assert len(SOURCES) == 27
    assert {f"{CAMPAIGN}_{name}_AK4PFchs" for name in SOURCES} <= set(jets)
    assert f"{CAMPAIGN}_L2Relative_AK4PFchs" in jets


def test_jet_uncertainties_are_small_and_fall_with_momentum(
    jets: correctionlib.CorrectionSet,
) -> None:
    pt = np.geomspace(15, 3000, 30)
    for name in SOURCES:
        for eta in (-3.5, -2.7, -1.8, 0.4, 4.9):
            values = jets[f"{CAMPAIGN}_{name}_AK4PFchs"].evaluate(np.full(30, eta), pt)
            assert (values >= 0).all()
            assert values.max() < 0.05
            assert (np.diff(values) <= 1e-12).all()


def test_a_source_of_the_endcaps_leaves_the_barrel_alone(
    jets: correctionlib.CorrectionSet,
) -> None:
    source = jets[f"{CAMPAIGN}_RelativePtEC1_AK4PFchs"]
    assert source.evaluate(0.5, 60.0) == 0
    assert source.evaluate(-2.0, 60.0) > 0


def test_offset_and_response_change_jets_gently(jets: correctionlib.CorrectionSet) -> None:
    offset = jets[f"{CAMPAIGN}_L1FastJet_AK4PFchs"].evaluate(0.5, 1.0, 40.0, 20.0)
    assert offset == pytest.approx(1 - 0.03 * 0.5 * 20 / 40)
    assert 1.0 < jets[f"{CAMPAIGN}_L2Relative_AK4PFchs"].evaluate(1.0, 40.0) < 1.2


def test_resolution_and_its_scale_factor_are_made_when_asked() -> None:
    names = [f"Summer20UL16_JRV3_MC_{n}_AK4PFchs" for n in ("PtResolution", "ScaleFactor")]
    made = evaluators("jer.json.gz", *names)
    assert 0.05 < made[names[0]].evaluate(0.0, 100.0, 20.0) < 0.2
    nominal = made[names[1]].evaluate(0.0, "nom")
    assert made[names[1]].evaluate(0.0, "down") < nominal < made[names[1]].evaluate(0.0, "up")


def test_btag_systematics_know_only_their_flavours(btag: correctionlib.Correction) -> None:
    central = btag.evaluate("central", 5, 1.0, 60.0, 0.95)
    assert btag.evaluate("down_hf", 5, 1.0, 60.0, 0.95) < central
    assert btag.evaluate("up_hf", 5, 1.0, 60.0, 0.95) > central
    assert 0.9 < btag.evaluate("up_cferr1", 4, 1.0, 60.0, 0.95) < 1.1
    for systematic, flavour in (("up_hf", 4), ("up_cferr1", 5)):
        with pytest.raises(IndexError):
            btag.evaluate(systematic, flavour, 1.0, 60.0, 0.95)


def test_btag_has_every_jet_source_with_the_year_where_it_is_decorrelated(
    btag: correctionlib.Correction,
) -> None:
    for name in SOURCES:
        assert 0.8 < btag.evaluate(f"up_jes{name}", 0, 1.0, 60.0, 0.2) < 1.2
    for name in ("AbsoluteStat", "RelativeStatHF", "TimePtEta", "RelativeSample"):
        assert 0.8 < btag.evaluate(f"down_jes{name}_2017", 0, 1.0, 60.0, 0.2) < 1.2


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(InputError, match=r"what\.json.*'something'"):
        correction_set("what.json", ["something"])


@pytest.mark.parametrize(
    ("real", "key"),
    [
        ("puWeights_integration_challenge.json.gz", "Collisions16_UltraLegacy_goldenJSON"),
        ("muon_Z_integration_challenge.json.gz", "NUM_TightID_DEN_TrackerMuons"),
        ("BTV_2018_UL_btagging.json.gz", "deepJet_shape"),
        ("JME_2018_UL_jet_jerc.json.gz", "Summer19UL18_V5_MC_L1FastJet_AK4PFchs"),
        ("JME_2018_UL_jet_jerc.json.gz", "Summer19UL18_V5_MC_L2Relative_AK4PFchs"),
        ("JME_2018_UL_jet_jerc.json.gz", "Summer19UL18_V5_MC_FlavorQCD_AK4PFchs"),
        ("JME_2018_UL_jet_jerc.json.gz", "Summer19UL18_JRV2_MC_PtResolution_AK4PFchs"),
        ("JME_2018_UL_jet_jerc.json.gz", "Summer19UL18_JRV2_MC_ScaleFactor_AK4PFchs"),
    ],
)
def test_inputs_are_those_of_the_real_file(
    real: str, key: str, shared_data: Path, require: Callable[[object, str], None]
) -> None:
    path = shared_data / "corrections" / real
    require(path, f"no {path.name}")
    theirs = correctionlib.CorrectionSet.from_file(str(path))[key]
    ours = evaluators("corrections/2018/made.json.gz", key)[key]
    assert [(i.name, i.type) for i in ours.inputs] == [(i.name, i.type) for i in theirs.inputs]


def test_corrections_of_the_raw_jet_give_the_jet_again() -> None:
    campaign = "Summer19UL18_V5_MC"
    names = [f"{campaign}_{level}_AK4PFchs" for level in ("L1FastJet", "L2Relative")]
    made = correction_set("2018/jet_jerc.json.gz", names).model_dump_json(exclude_unset=True)
    offset, response = (correctionlib.CorrectionSet.from_string(made)[name] for name in names)
    rng = np.random.default_rng(3)
    pt, eta = 15 + rng.exponential(80, 500), rng.uniform(-4.7, 4.7, 500)
    area, rho = rng.normal(0.5, 0.02, 500), rng.uniform(5, 40, 500)
    raw = pt * (1 - raw_factor(pt, eta, area, rho))
    without_pileup = raw * offset.evaluate(area, eta, raw, rho)
    again = without_pileup * response.evaluate(eta, without_pileup)
    assert again == pytest.approx(pt)
    assert np.abs(raw / pt - 1).max() > 0.05

from __future__ import annotations

from pathlib import Path

import awkward as ak
import correctionlib
import numpy as np
import pytest

from example_opendata.configs.corrections import (
    CORRECTIONS,
    JES_SOURCES,
    SYSTEMATICS,
    absolute_eta,
    constant,
)

EVALUATED = {correction["name"]: correction for correction in CORRECTIONS}
MUON_FACTORS = ("muon_id_sf", "muon_iso_sf", "muon_trigger_sf")


def evaluators(path: Path) -> dict[str, correctionlib.highlevel.Correction]:
    return dict(correctionlib.CorrectionSet.from_file(str(path)).items())


@pytest.mark.parametrize("name", MUON_FACTORS)
def test_muon_factors_exist_and_are_near_one(name: str, shared_data: Path) -> None:
    known = evaluators(shared_data / "corrections" / "muon_Z_integration_challenge.json.gz")
    factor = known[EVALUATED[name]["key"]]
    eta, pt = np.array([0.1, 1.0, 2.0, 2.39]), np.array([55.1, 80.0, 300.0, 2000.0])
    nominal = factor.evaluate(eta, pt, "nominal")
    source = EVALUATED[name]["uncertainty_sources"][0]
    up, down = (factor.evaluate(eta, pt, index) for index in source["up_and_down_idx"])
    assert np.all((nominal > 0.8) & (nominal < 1.1))
    assert np.all((down <= nominal) & (nominal <= up))


def test_pileup_weights_exist(shared_data: Path) -> None:
    known = evaluators(shared_data / "corrections" / "puWeights_integration_challenge.json.gz")
    weight = known[EVALUATED["pileup"]["key"]]
    values = {index: weight.evaluate(25.0, index) for index in ("nominal", "up", "down")}
    assert len(set(values.values())) == 3


def test_jet_energy_sources_exist_in_the_file_of_the_other_half_of_2016(shared_data: Path) -> None:
    known = evaluators(shared_data / "corrections" / "JME_2016preVFP_UL_jet_jerc.json.gz")
    sources = EVALUATED["jes"]["uncertainty_sources"]
    assert len(sources) == len(set(JES_SOURCES)) == 27
    for source in sources:
        key = source["key"].replace("Summer19UL16_", "Summer19UL16APV_")
        assert abs(known[key].evaluate(1.1, 80.0)) < 0.1


def test_muon_factors_see_the_absolute_pseudorapidity() -> None:
    eta, pt = absolute_eta(ak.Array([[-1.5, 0.5], []]), ak.Array([[60.0, 70.0], []]))
    assert eta.to_list() == [[1.5, 0.5], []]
    assert pt.to_list() == [[60, 70], []]


def test_constants_are_what_they_were_made_of() -> None:
    assert [constant(value)() for value in (0.988, 1.012)] == [0.988, 1.012]


def test_rates_move_only_what_they_concern() -> None:
    for name, members in {"xsec_ttbar": 3, "xsec_wjets": 1}.items():
        (source,) = EVALUATED[name]["uncertainty_sources"]
        assert len(source["processes"]) == members
        assert source["down_function"]() < 1 < source["up_function"]()


def test_luminosity_is_uncertain_by_1_2_percent() -> None:
    (lumi,) = SYSTEMATICS
    assert (lumi["up_function"](), lumi["down_function"]()) == (1.012, 0.988)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest

from intccms.engine.calls import Caller
from intccms.engine.corrections import Factors, load_evaluator
from intccms.engine.objects import Objects, from_events
from intccms.schema.base import ObjVar, Sys
from tests.engine import small
from tests.engine.test_corrections import JET_ETA, JET_PT, N_TRUE, correction, wide


@pytest.fixture(scope="module")
def objects(few: Path) -> Objects:
    return from_events(small.chunk(few))


@pytest.fixture(scope="module")
def factors() -> Factors:
    return Factors(lambda path: path, Caller(1))


# Real correction files of CMS, and functions as users write them.


@pytest.fixture(scope="module")
def real(shared_data: Path, require: Callable[[object, str], None]) -> Path:
    folder = shared_data / "corrections"
    require(folder, "no real correction files")
    return folder


def test_real_pileup_weights(real: Path, objects: Objects, factors: Factors) -> None:
    path, key = (
        real / "puWeights_integration_challenge.json.gz",
        "Collisions16_UltraLegacy_goldenJSON",
    )
    sf = correction(path, key=key, args=[N_TRUE, Sys()], uncertainty_sources=[{"name": "pu"}])
    evaluator = load_evaluator(str(path), key)
    for side in ("up", "down"):
        got = factors.varied(sf, sf.uncertainty_sources[0], side, objects)  # type: ignore[arg-type]
        assert np.array_equal(got, evaluator.evaluate(wide(objects.column(N_TRUE)), side))


def test_real_muon_scale_factors(real: Path, objects: Objects, factors: Factors) -> None:
    path, key = real / "muon_Z_integration_challenge.json.gz", "NUM_MediumID_DEN_TrackerMuons"
    central = ak.fill_none(np.abs(ak.firsts(objects["Muon"].eta)) < 2.4, False)
    with_muon = objects.take(np.flatnonzero(central))
    sf = correction(
        path,
        key=key,
        args=[ObjVar("Muon", "eta"), ObjVar("Muon", "pt"), Sys()],
        transform_in=lambda eta, pt: (np.abs(eta)[:, 0], pt[:, 0]),
        uncertainty_sources=[{"name": "muon", "up_and_down_idx": ["systup", "systdown"]}],
    )
    leading = with_muon["Muon"][:, 0]
    eta, pt = np.abs(wide(leading.eta)), wide(leading.pt)
    direct = load_evaluator(str(path), key).evaluate
    assert np.array_equal(factors.nominal(sf, with_muon), direct(eta, pt, "nominal"))
    up = factors.varied(sf, sf.uncertainty_sources[0], "up", with_muon)
    assert np.array_equal(up, direct(eta, pt, "systup"))


JEC = "Summer19UL16APV_V7_MC_{}_AK4PFchs"


def closure(evaluators: Any, key: str, sign: float) -> Callable[..., Any]:
    def shift(eta: Any, pt: Any) -> Any:
        flat = [np.asarray(ak.flatten(x), dtype=np.float64) for x in (eta, pt)]
        return ak.unflatten(1.0 + sign * evaluators[key].evaluate(*flat), ak.num(eta))

    return shift


def test_real_jet_energy_corrections_in_closures_equal_declared_ones(
    real: Path, objects: Objects, factors: Factors
) -> None:
    path = real / "JME_2016preVFP_UL_jet_jerc.json.gz"
    key = JEC.format("AbsoluteScale")
    evaluators = correctionlib.CorrectionSet.from_file(str(path))
    common: dict[str, Any] = {"type": "object", "target": JET_PT}
    functions = {
        "up_function": closure(evaluators, key, 1.0),
        "down_function": closure(evaluators, key, -1.0),
    }
    by_hand = correction(
        **common,
        use_correctionlib=False,
        args=[JET_ETA, JET_PT],
        uncertainty_sources=[{"name": "u", "is_delta": True, **functions}],
    )
    declared = correction(
        path,
        **common,
        args=[JET_ETA, JET_PT],
        uncertainty_sources=[{"name": "u", "key": key, "is_delta": True}],
    )
    for side in ("up", "down"):
        one, two = (
            factors.varied(sf, sf.uncertainty_sources[0], side, objects)  # type: ignore[arg-type]
            for sf in (by_hand, declared)
        )
        assert np.array_equal(small.flat(one), small.flat(two))


def test_a_real_compound_jet_energy_correction(
    real: Path, objects: Objects, factors: Factors
) -> None:
    path, key = real / "JME_2016preVFP_UL_jet_jerc.json.gz", JEC.format("L1L2L3Res")
    args = [ObjVar("Jet", "area"), JET_ETA, JET_PT, N_TRUE]
    sf = correction(path, type="object", target=JET_PT, key=key, args=args)
    rho = np.repeat(wide(objects.column(N_TRUE)), wide(ak.num(objects["Jet"])).astype(int))
    jets = [small.flat(objects["Jet"][name]) for name in ("area", "eta", "pt")]
    expected = load_evaluator(str(path), key).evaluate(*jets, rho)
    assert np.array_equal(small.flat(factors.nominal(sf, objects)), expected)


def test_real_b_tag_weights_with_transforms_and_product(
    real: Path, objects: Objects, factors: Factors
) -> None:
    path, key = real / "BTV_2016preVFP_UL_btagging.json.gz", "deepJet_shape"

    def valid(eta: Any, pt: Any) -> Any:
        return (pt > 30) & (np.abs(eta) < 2.5)

    sf = correction(
        path,
        key=key,
        nominal_idx="central",
        args=[Sys(), ObjVar("Jet", "hadronFlavour"), JET_ETA, JET_PT, ObjVar("Jet", "btagDeepB")],
        transform_in=lambda flavour, eta, pt, tag: (
            ak.where(valid(eta, pt), flavour, 0),
            np.abs(eta),
            pt,
            tag,
        ),
        transform_out=lambda sf, flavour, eta, pt, tag: ak.where(valid(eta, pt), sf, 1.0),
        reduce="prod",
    )
    jets = objects["Jet"]
    flavour = ak.values_astype(jets.area * 1000 % 2, np.int32) * 5
    given = objects.with_column(ObjVar("Jet", "hadronFlavour"), flavour)
    got = wide(factors.nominal(sf, given))
    evaluator = load_evaluator(str(path), key)
    for i in range(0, 300, 60):
        expected = 1.0
        for jet, kind in zip(jets[i], flavour[i], strict=True):
            if jet.pt > 30 and abs(jet.eta) < 2.5:
                numbers = (abs(float(jet.eta)), float(jet.pt), float(jet.btagDeepB))
                expected *= evaluator.evaluate("central", int(kind), *numbers)
        assert got[i] == pytest.approx(expected, rel=1e-12)

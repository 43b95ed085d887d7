from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np
import pytest

from example_opendata.configs.observables import ttbar_chi2, ttbar_mass, workshop_mtt
from example_opendata.configs.reconstruction import NO_MASS

Sample = Callable[[int], dict[str, ak.Array]]


def collection(*events: list[tuple[float, float, float, float]]) -> ak.Array:
    names = ("pt", "eta", "phi", "mass")
    array = ak.Array([[dict(zip(names, one, strict=True)) for one in event] for event in events])
    return ak.values_astype(array, np.float32)


def test_collinear_objects_against_a_recoil() -> None:
    # Everything massless and transverse: 600 GeV to the right, 300 + 200 + 100 to the left.
    # By hand: the sum has no momentum and 1200 GeV.
    muons = collection([(300, 0, np.pi, 0)])
    jets = collection([(200, 0, np.pi, 0), (900, 2, 1, 5)])
    fatjets = collection([(600, 0, 0, 0)])
    met = ak.Array([{"pt": 100.0, "phi": np.pi}])
    assert workshop_mtt(muons, jets, fatjets, met).to_list() == pytest.approx([1200])


def test_all_collinear_objects_weigh_nothing() -> None:
    same = collection([(500, 0.0, 0.25, 0)])
    met = ak.Array([{"pt": np.float32(70), "phi": np.float32(0.25)}])
    assert workshop_mtt(same, same, same, met)[0] == pytest.approx(0, abs=1e-3)


def test_longitudinal_momenta_count_but_for_the_missing_one() -> None:
    # sinh(eta) = ±0.75: 400 → (p, pz) = (500, ±300) at phi 0 and π; the muon weighs against MET.
    # By hand: E = 500 + 500 + 60 + 60 = 1120, momentum 0.
    eta = float(np.arcsinh(0.75))
    muons = collection([(60, 0, np.pi / 2, 0)])
    jets = collection([(400, eta, 0, 0)])
    fatjets = collection([(400, -eta, np.pi, 0)])
    met = ak.Array([{"pt": 60.0, "phi": -np.pi / 2}])
    assert workshop_mtt(muons, jets, fatjets, met)[0] == pytest.approx(1120)


def test_incomplete_events_have_no_mass() -> None:
    one = [(500.0, 0.0, 0.0, 10.0)]
    met = ak.Array([{"pt": 70.0, "phi": 0.2}] * 4)
    masses = workshop_mtt(
        collection(one, [], one, one),
        collection(one, one, [], one),
        collection(one, one, one, []),
        met,
    )
    assert masses[0] != NO_MASS
    assert masses[1:].to_list() == [NO_MASS] * 3


def test_events_do_not_depend_on_their_company(sample: Sample) -> None:
    events = sample(501)
    whole = workshop_mtt(**events)
    halves = [
        workshop_mtt(**{name: array[part] for name, array in events.items()})
        for part in (slice(0, 77), slice(77, None))
    ]
    assert whole.to_list() == ak.concatenate(halves).to_list()


def test_no_events_give_no_values(sample: Sample) -> None:
    events = {name: array[:0] for name, array in sample(3).items()}
    assert workshop_mtt(**events).to_list() == []


def test_reconstructed_columns_are_passed_on() -> None:
    reconstructed = ak.Array([{"chi2": 1.5, "mtt": 900.0}, {"chi2": 8.0, "mtt": 700.0}])
    assert ttbar_mass(reconstructed).to_list() == [900, 700]
    assert ttbar_chi2(reconstructed).to_list() == [1.5, 8]

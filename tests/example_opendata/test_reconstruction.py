from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import awkward as ak
import numpy as np
import pytest
import vector

from example_opendata.configs.kinematics import FourVector
from example_opendata.configs.reconstruction import (
    NO_CHI2,
    NO_MASS,
    neutrino_pz,
    reconstruct_ttbar,
)

Decay = Callable[..., Any]
Objects = Callable[..., ak.Array]
Sample = Callable[[int], dict[str, ak.Array]]

MUON_MASS = 0.105658


def column(p4: Any) -> FourVector:
    return FourVector(*(np.array([value]) for value in (p4.px, p4.py, p4.pz, p4.E)))


def missing(neutrino: Any) -> ak.Array:
    return ak.Array([{"pt": float(neutrino.pt), "phi": float(neutrino.phi)}])


@pytest.mark.parametrize("pz", [-700.0, 0.0, 55.0, 1500.0])
@pytest.mark.parametrize("theta", [0.4, 1.5, 2.7])
def test_neutrino_of_a_w_decay_is_found(decay: Decay, pz: float, theta: float) -> None:
    w = vector.obj(px=180.0, py=-90.0, pz=pz, mass=80.4)
    muon, neutrino = decay(w, MUON_MASS, 0.0, theta=theta, phi=0.7)
    met_px, met_py = np.array([neutrino.px]), np.array([neutrino.py])
    solutions = neutrino_pz(column(muon), met_px, met_py)
    assert min(abs(found[0] - neutrino.pz) for found in solutions) == pytest.approx(0, abs=1e-5)
    for found in solutions:
        energy = np.sqrt(met_px**2 + met_py**2 + found**2)
        w_again = column(muon) + FourVector(met_px, met_py, found, energy)
        assert w_again.mass == pytest.approx([80.4])


def test_complex_solutions_give_their_real_part() -> None:
    # Transverse mass 200 GeV. By hand: (80.4²/2 - 100·100) · 75 / 100² = -50.7594
    muon = FourVector(np.array([100.0]), np.zeros(1), np.array([75.0]), np.array([125.0]))
    solutions = neutrino_pz(muon, np.array([-100.0]), np.zeros(1))
    assert [found[0] for found in solutions] == pytest.approx([-50.7594, -50.7594])


def test_no_muon_is_no_division_by_zero() -> None:
    nothing = np.zeros(1)
    solutions = neutrino_pz(FourVector(nothing, nothing, nothing, nothing), nothing, nothing)
    assert [found[0] for found in solutions] == [0, 0]


@pytest.fixture
def leptonic(decay: Decay) -> dict[str, Any]:
    """Decay products of a top quark of 175 GeV that flies to the right."""
    top = vector.obj(px=420.0, py=60.0, pz=240.0, mass=175.0)
    w, jet = decay(top, 80.4, 5.0, theta=1.9, phi=2.2)
    muon, neutrino = decay(w, MUON_MASS, 0.0, theta=1.1, phi=-0.8)
    return {"top": top, "muon": muon, "neutrino": neutrino, "jet": jet}


def test_perfect_event_with_a_large_radius_jet(leptonic: dict[str, Any], objects: Objects) -> None:
    fatjet = vector.obj(px=-800.0, py=-40.0, pz=-310.0, mass=173.0)
    inside = vector.obj(px=-400.0, py=-10.0, pz=-150.0, mass=10.0)
    chi2, mtt = reconstruct_ttbar(
        objects([[leptonic["muon"]]]),
        objects([[inside, leptonic["jet"]]]),
        objects([[fatjet]]),
        missing(leptonic["neutrino"]),
    )
    assert chi2[0] == pytest.approx(0, abs=1e-8)
    assert mtt[0] == pytest.approx((leptonic["top"] + fatjet).mass)


def test_jets_inside_the_large_radius_jet_are_no_leptonic_side(
    leptonic: dict[str, Any], objects: Objects
) -> None:
    fatjet = vector.obj(px=-800.0, py=-40.0, pz=-310.0, mass=173.0)
    inside = vector.obj(px=-400.0, py=-10.0, pz=-150.0, mass=10.0)
    chi2, mtt = reconstruct_ttbar(
        objects([[leptonic["muon"]]]),
        objects([[inside]]),
        objects([[fatjet]]),
        missing(leptonic["neutrino"]),
    )
    assert (chi2[0], mtt[0]) == (NO_CHI2, NO_MASS)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_perfect_resolved_event_is_found_in_any_order_of_the_jets(
    leptonic: dict[str, Any], decay: Decay, objects: Objects, order: tuple[int, ...]
) -> None:
    top = vector.obj(px=-310.0, py=25.0, pz=-90.0, mass=177.0)
    w, b_jet = decay(top, 80.4, 5.0, theta=0.9, phi=1.4)
    jets = [leptonic["jet"], b_jet, *decay(w, 8.0, 4.0, theta=2.0, phi=-2.6)]
    chi2, mtt = reconstruct_ttbar(
        objects([[leptonic["muon"]]]),
        objects([[jets[i] for i in order]]),
        objects([[]]),
        missing(leptonic["neutrino"]),
    )
    assert chi2[0] == pytest.approx(0, abs=1e-8)
    assert mtt[0] == pytest.approx((leptonic["top"] + top).mass)


def by_hand(muons: Any, jets: Any, fatjets: Any, met: Any) -> tuple[float, float]:
    """Loop over the hypotheses of one event with scikit-hep vectors."""

    def p4(one: Any) -> Any:
        names = ("pt", "eta", "phi", "mass")
        return vector.obj(**{name: float(one[name]) for name in names})

    if len(muons) == 0:
        return NO_CHI2, NO_MASS
    muon, all_jets = p4(muons[0]), [p4(jet) for jet in jets]
    pairs = []
    if len(fatjets):
        fatjet = p4(fatjets[0])
        pairs = [(j, fatjet, 173, 15) for j in all_jets if j.deltaR(fatjet) > 1.2]
    else:
        for n_jets in (1, 2, 3):
            for i, jet in enumerate(all_jets):
                rest = all_jets[:i] + all_jets[i + 1 :]
                for side in combinations(rest, n_jets):
                    pairs.append((jet, sum(side[1:], side[0]), 177, 16))
    met_x, met_y = met.pt * np.cos(met.phi), met.pt * np.sin(met.phi)
    columns = (np.array([float(value)]) for value in (met_x, met_y))
    found = []
    for pz in neutrino_pz(column(muon), *columns):
        w = muon + vector.obj(px=float(met_x), py=float(met_y), pz=pz[0], mass=0.0)
        for jet, hadronic, mean, width in pairs:
            lepton_side, hadron_side = (w + jet).mass, hadronic.mass
            chi2 = ((lepton_side - 175) / 19) ** 2 + ((hadron_side - mean) / width) ** 2
            found.append((chi2, (w + jet + hadronic).mass))
    return min(found, default=(NO_CHI2, NO_MASS))


def test_random_events_agree_with_a_loop_over_hypotheses(sample: Sample) -> None:
    events = sample(150)
    chi2, mtt = reconstruct_ttbar(**events)
    doubles = {name: ak.values_astype(array, np.float64) for name, array in events.items()}
    expected = [
        by_hand(*(doubles[name][i] for name in ("muons", "jets", "fatjets", "met")))
        for i in range(150)
    ]
    assert chi2.to_list() == pytest.approx([chi2 for chi2, _ in expected], rel=1e-6)
    assert mtt.to_list() == pytest.approx([mass for _, mass in expected], rel=1e-6)


def test_events_do_not_depend_on_their_company(sample: Sample) -> None:
    events = sample(1001)
    whole = reconstruct_ttbar(**events)
    cuts = [0, 1, 8, 333, 334, 999, 1001]
    parts = [
        reconstruct_ttbar(**{name: array[low:high] for name, array in events.items()})
        for low, high in zip(cuts, cuts[1:], strict=False)
    ]
    for i, values in enumerate(whole):
        assert values.to_list() == ak.concatenate([part[i] for part in parts]).to_list()
    shuffled = np.random.default_rng(3).permutation(1001)
    again = reconstruct_ttbar(**{name: array[shuffled] for name, array in events.items()})
    for values, others in zip(whole, again, strict=True):
        assert values[shuffled].to_list() == others.to_list()


def test_no_events_give_no_values(sample: Sample) -> None:
    events = {name: array[:0] for name, array in sample(5).items()}
    chi2, mtt = reconstruct_ttbar(**events)
    assert len(chi2) == len(mtt) == 0


def test_every_event_has_a_number(sample: Sample) -> None:
    chi2, mtt = reconstruct_ttbar(**sample(1000))
    assert ak.all(np.isfinite(chi2) & np.isfinite(mtt))
    assert ak.all((chi2 == NO_CHI2) == (mtt == NO_MASS))
    assert ak.any(chi2 == NO_CHI2)


def test_a_poor_hypothesis_is_better_than_none(objects: Objects) -> None:
    # Jet and muon back to back, 6 TeV in all: χ² is some 1e5, but the event has a mass.
    muon = vector.obj(pt=3000.0, eta=0.0, phi=0.0, mass=MUON_MASS)
    jets = [vector.obj(pt=3000.0, eta=0.0, phi=np.pi - d, mass=9.0) for d in (0.0, 0.5)]
    met = ak.Array([{"pt": 60.0, "phi": 0.1}])
    chi2, mtt = reconstruct_ttbar(objects([[muon]]), objects([jets]), objects([[]]), met)
    assert 1e4 < chi2[0] < NO_CHI2
    assert mtt[0] > 6000

from __future__ import annotations

import numpy as np
import pytest

from intccms.errors import InputError
from nanosample.generation import BULK_LIMIT, generate, generate_unweighted
from nanosample.settings import kind_of, known_kinds

KINDS = known_kinds()


@pytest.mark.parametrize("name", sorted(KINDS))
def test_weights_average_to_their_nominal_size(name: str) -> None:
    kind = KINDS[name]
    _, weight = generate(kind, 20_000, np.random.default_rng(3))
    assert weight.mean() == pytest.approx(kind.gen_weight, rel=0.06)
    assert (weight < 0).mean() == pytest.approx(kind.negative_fraction, abs=0.01)


def test_weights_give_back_the_natural_spectrum() -> None:
    kind = KINDS["ttbar_semilep"]
    rng = np.random.default_rng(4)
    hard, weight = generate(kind, 60_000, rng)
    natural = generate_unweighted(kind, 60_000, rng, is_boosted=True)
    edges = kind.threshold_gev + np.array([0, 50, 100, 200, 300, 500])
    sampled, _ = np.histogram(hard.values["boson_pt"], edges, weights=weight / weight.sum())
    expected, _ = np.histogram(natural.values["boson_pt"], edges)
    np.testing.assert_allclose(sampled / kind.boosted_fraction, expected / len(natural), rtol=0.1)


def test_the_resonance_peaks_at_its_mass() -> None:
    kind = kind_of("signal", "m2000_w20")
    hard, _ = generate(kind, 5_000, np.random.default_rng(5))
    low, median, high = np.quantile(hard.values["pair_mass"], [0.16, 0.5, 0.84])
    assert median == pytest.approx(2000, abs=5)
    assert high - low < 60


def test_semileptonic_pairs_have_one_lepton_and_others_none_or_two() -> None:
    rng = np.random.default_rng(6)
    for name, n_leptons in (("ttbar_semilep", 1), ("ttbar_had", 0), ("ttbar_lep", 2)):
        hard, _ = generate(KINDS[name], 500, rng)
        assert (hard["leptons"].valid.sum(axis=1) == n_leptons).all()


def test_transverse_momentum_is_balanced_up_to_what_is_not_simulated() -> None:
    hard, _ = generate(KINDS["ttbar_semilep"], 2_000, np.random.default_rng(7))
    final = np.isin(hard["particles"]["status"], (1, 23)) & hard["particles"].valid
    pt, phi = hard["particles"]["pt"], hard["particles"]["phi"]
    x = (pt * np.cos(phi) * final).sum(axis=1)
    y = (pt * np.sin(phi) * final).sum(axis=1)
    first = hard["quarks"]  # its first candidate balances the pair
    balance = np.where(first.valid[:, 0], first["pt"][:, 0], np.hypot(x, y))
    np.testing.assert_allclose(np.hypot(x, y), balance, atol=1e-3)


def test_ordinary_events_stay_below_the_threshold() -> None:
    for name in ("ttbar", "wjets", "qcd", "single_top"):
        kind = KINDS[name]
        hard = generate_unweighted(kind, 5_000, np.random.default_rng(8), is_boosted=False)
        assert hard.values["boson_pt"].max() <= BULK_LIMIT * kind.threshold_gev + 1e-6


def test_top_quarks_have_their_mass_and_mothers_precede_daughters() -> None:
    hard, _ = generate(KINDS["signal"], 200, np.random.default_rng(9))
    particles = hard["particles"]
    tops = np.abs(particles["pdgId"]) == 6
    np.testing.assert_allclose(particles["mass"][tops], 172.5, atol=0.1)
    assert (particles["genPartIdxMother"] < np.arange(particles.valid.shape[1])).all()


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        ("signal", "signal"),
        ("ZPrime_2TeV", "signal"),
        ("ttbar_semilep", "ttbar_semilep"),
        ("TTToSemiLeptonic", "ttbar_semilep"),
        ("ttbar_had", "ttbar_had"),
        ("TTToHadronic", "ttbar_had"),
        ("ttbar_lep", "ttbar_lep"),
        ("TTTo2L2Nu", "ttbar_lep"),
        ("ttbar", "ttbar"),
        ("wjets", "wjets"),
        ("WJetsToLNu", "wjets"),
        ("dyjets", "dyjets"),
        ("zjets", "dyjets"),
        ("single_top", "single_top"),
        ("ST_tW", "single_top"),
        ("qcd", "qcd"),
        ("diboson", "diboson"),
        ("WW", "diboson"),
    ],
)
def test_a_process_is_recognised_by_its_name(process: str, expected: str) -> None:
    assert kind_of(process, "somewhere/").name == expected


@pytest.mark.parametrize(
    ("directory", "mass", "width"),
    [
        ("signal/m2000_w20/", 2000, 20),
        ("2016/ZPrimeToTT_M3500_W1050/", 3500, 1050),
        ("signal/m1200", 1200, 12),
        ("signal/", 2000, 20),
    ],
)
def test_a_resonance_has_the_mass_of_its_directory(
    directory: str, mass: float, width: float
) -> None:
    kind = kind_of("signal", directory)
    assert (kind.resonance_gev, kind.width_gev) == (mass, width)


def test_low_ht_has_no_boosted_events() -> None:
    assert kind_of("wjets", "WJetsToLNu_HT-100To200").boosted_fraction == 0
    assert kind_of("wjets", "WJetsToLNu_HT-2500ToInf").boosted_fraction > 0


def test_an_unknown_process_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'unicorns'.*ttbar_semilep"):
        kind_of("unicorns", "somewhere")

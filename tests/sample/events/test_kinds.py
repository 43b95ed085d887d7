from __future__ import annotations

import pytest

from intccms.errors import InputError
from intccms.sample.events.kinds import kind_of


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

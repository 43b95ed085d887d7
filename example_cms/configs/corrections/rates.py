"""Uncertainties of rates: the luminosity of each year, the cross section of each background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..years import Year
from .theory import TTBAR

__all__ = ["CROSS_SECTIONS", "cross_sections", "luminosity"]

# Relative uncertainties (up, down) by nuisance parameter, and what they concern.
CROSS_SECTIONS: dict[str, tuple[float, float, list[str]]] = {
    # 831.76 +40.2 -45.6 pb: scales, parton densities and strong coupling, arXiv:1112.5675
    "xsec_ttbar": (0.048, 0.055, TTBAR),
    # W and Z with jets are in bins of the generated transverse activity at leading order, without a
    # factor: the uncertainty is what next-to-next-to-leading order changes in total, 1.21 and 1.23
    # (FEWZ 3.1, arXiv:1011.3540: 61526.7 and 6025 pb over 50690 and 4895 pb of the generator)
    "xsec_wjets": (0.21, 0.21, ["wjets"]),
    "xsec_dyjets": (0.23, 0.23, ["dyjets"]),
    # the largest of the channels: tW 71.7 +- 3.8 pb, arXiv:1311.0283; t channel 217 +9.0 -7.7 pb
    # and s channel 10.3 +- 0.4 pb, arXiv:1406.4403
    "xsec_single_top": (0.053, 0.053, ["single_top"]),
    # WZ and ZZ at next-to-leading order, arXiv:1105.0020; WW (+2.5 -2.2 %), arXiv:1408.5243
    "xsec_diboson": (0.05, 0.05, ["diboson"]),
    # leading order with up to four partons: no better than a factor of 1.5
    "xsec_qcd": (0.5, 0.5, ["qcd"]),
}


def constant(value: float) -> Callable[[], float]:
    """Make a function that gives every event the same factor."""

    def factor() -> float:
        return value

    return factor


def luminosity(year: Year) -> dict[str, Any]:
    """Parts of a year's uncertainty; parts of the same name are correlated between years."""
    return _rate(
        "luminosity",
        [_source(name, (size, size), None) for name, size in year.lumi_uncertainties.items()],
    )


def cross_sections() -> list[dict[str, Any]]:
    """One nuisance parameter for each kind of background."""
    return [
        _rate(name, [_source(name, (up, down), processes)])
        for name, (up, down, processes) in CROSS_SECTIONS.items()
    ]


def _rate(name: str, sources: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "event",
        "use_correctionlib": False,
        "args": [],
        "uncertainty_sources": sources,
    }


def _source(name: str, sizes: tuple[float, float], processes: list[str] | None) -> dict[str, Any]:
    up, down = sizes
    return {
        "name": name,
        "up_function": constant(1 + up),
        "down_function": constant(1 - down),
        "is_delta": True,
        "processes": processes,
    }

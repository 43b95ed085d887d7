"""Corrections of each year and their uncertainties, in the order in which they are applied."""

from __future__ import annotations

from typing import Any

from ..years import YEARS, Year
from .btag import btag_shape
from .jets import jet_energy
from .objects import muons, pileup, prefiring
from .quality import pileup_identification
from .rates import cross_sections, luminosity
from .theory import theory_weights

__all__ = ["CORRECTIONS"]


def _of(year: Year) -> list[dict[str, Any]]:
    return [
        *jet_energy(year),
        pileup(year),
        prefiring(year),
        *muons(year),
        pileup_identification(year),
        *btag_shape(year),
        *theory_weights(),
        luminosity(year),
        *cross_sections(),
    ]


CORRECTIONS: dict[str, list[dict[str, Any]]] = {year.name: _of(year) for year in YEARS}

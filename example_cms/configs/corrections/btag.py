"""Shape of the DeepJet score, calibrated jet by jet.

The factors of light and bottom jets and those of charm jets have sources of their own. Each of the
two corrections sees its flavours only, so a source that does not concern a jet leaves it at its
central factor. Sources of the jet energy scale move together with the jets.

https://btv-wiki.docs.cern.ch/PerformanceCalibration/shapeCorrRecommendations
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak

from intccms.schema.base import Sys

from ..years import Year
from .jets import jes_sources

__all__ = ["btag_shape"]

KEY = "deepJet_shape"
CHARM = 4

# True: independent between years, being statistical.
SOURCES = {"hf": False, "lf": False, "hfstats1": True, "hfstats2": True}
SOURCES |= {"lfstats1": True, "lfstats2": True}
CHARM_SOURCES = {"cferr1": False, "cferr2": False}


def btag_shape(year: Year) -> list[dict[str, Any]]:
    """Factors of a year, and what keeps the yields before any b tag as they were."""
    with_jets = [
        _source(f"btag_{name}", f"jes{source}", varies_with=[name])
        for source, name in jes_sources(year).items()
    ]
    return [
        _shape(year, "btag_light_heavy", is_charm=False, sources=_own(SOURCES, year) + with_jets),
        _shape(year, "btag_charm", is_charm=True, sources=_own(CHARM_SOURCES, year)),
        _yield_ratio(year),
    ]


def _own(sources: dict[str, bool], year: Year) -> list[dict[str, Any]]:
    return [
        _source(f"btag_{source}" + (f"_{year.name}" if is_each_year else ""), source)
        for source, is_each_year in sources.items()
    ]


def _source(name: str, index: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "up_and_down_idx": [f"up_{index}", f"down_{index}"], **more}


def _shape(
    year: Year, name: str, *, is_charm: bool, sources: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": name,
        "type": "event",
        "file": year.file("btagging.json.gz"),
        "key": KEY,
        "args": [
            Sys(),
            *(("Jet", column) for column in ("hadronFlavour", "eta", "pt", "btagDeepFlavB")),
        ],
        "nominal_idx": "central",
        "transform_in": of_flavour(is_charm=is_charm),
        "reduce": "prod",
        "uncertainty_sources": sources,
    }


def of_flavour(*, is_charm: bool) -> Callable[..., tuple[ak.Array, ...]]:
    """Make a function that keeps charm jets, or all others, and gives |η| for η."""

    def inputs(
        flavour: ak.Array, eta: ak.Array, pt: ak.Array, score: ak.Array
    ) -> tuple[ak.Array, ...]:
        kept = flavour == CHARM if is_charm else flavour != CHARM
        return flavour[kept], abs(eta[kept]), pt[kept], score[kept]

    return inputs


def _yield_ratio(year: Year) -> dict[str, Any]:
    """Yield without over yield with the factors, see `example_cms.btag_yields`."""
    return {
        "name": "btag_yield_ratio",
        "type": "event",
        "file": year.file("btag_yields.json"),
        "key": "btag_yield_ratio",
        "args": [("Jet", "pt")],
        "transform_in": number,
    }


def number(jet_pt: ak.Array) -> ak.Array:
    """Count the good jets."""
    return ak.num(jet_pt, axis=1)

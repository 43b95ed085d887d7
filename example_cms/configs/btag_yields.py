"""The same search before any b tag, to measure how the factors of the b tags change the yields.

Run it as any other configuration; ``python -m example_cms.btag_yields`` then makes the correction.
"""

from __future__ import annotations

from typing import Any

import awkward as ak

from .configuration import config as search
from .corrections import CORRECTIONS
from .corrections.btag import KEY, number
from .years import YEARS, Year

__all__ = ["MAX_JETS", "OBSERVABLE", "config"]

MAX_JETS = 8  # and more
OBSERVABLE = "n_jets"
CHANNEL = "before_b_tag"
WITH_FACTORS = "with_btag"  # the variation in which the factors are applied


def _counted(jet_pt: ak.Array) -> ak.Array:
    count = number(jet_pt)
    return ak.where(count > MAX_JETS, MAX_JETS, count)


def absolute_eta(
    flavour: ak.Array, eta: ak.Array, pt: ak.Array, score: ak.Array
) -> tuple[ak.Array, ...]:
    """Give |η| for η."""
    return flavour, abs(eta), pt, score


def _corrections(year: Year) -> list[dict[str, Any]]:
    """All but those of b tags, which are a variation; nothing else varies."""
    kept = [
        entry | {"uncertainty_sources": []}
        for entry in CORRECTIONS[year.name]
        if not entry["name"].startswith("btag_") and ({"key", "nominal_function"} & entry.keys())
    ]
    columns = ("hadronFlavour", "eta", "pt", "btagDeepFlavB")
    factors = {
        "name": WITH_FACTORS,
        "type": "event",
        "file": year.file("btagging.json.gz"),
        "args": ["central", *(("Jet", column) for column in columns)],
        "transform_in": absolute_eta,
        "reduce": "prod",
        "uncertainty_sources": [{"name": WITH_FACTORS, "key": KEY}],
    }
    return [*kept, factors]


config: dict[str, Any] = {
    **search,
    "general": {
        **search["general"],
        "output_dir": "outputs/btag_yields",
        "run_statistics": False,
    },
    "ghost_observables": [],
    "channels": [
        {
            "name": CHANNEL,
            "observables": [
                {
                    "name": OBSERVABLE,
                    "binning": f"-0.5,{MAX_JETS + 0.5},{MAX_JETS + 1}",
                    "label": "Number of jets",
                    "function": _counted,
                    "use": [("Jet", "pt")],
                }
            ],
        }
    ],
    "corrections": {year.name: _corrections(year) for year in YEARS},
}

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intccms.plots.data_mc import Blind, blind_of, hidden_bins
from intccms.schema import load_config

EDGES = np.array([0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("blind", "expected"),
    [
        (None, [False, False, False]),
        (False, [False, False, False]),
        (True, [True, True, True]),
        ((1.0, 2.0), [False, True, False]),
        ((1.5, 2.5), [False, True, True]),
        ((5.0, 6.0), [False, False, False]),
    ],
)
def test_each_bin_that_a_range_touches_is_hidden(blind: Blind, expected: list[bool]) -> None:
    assert hidden_bins(EDGES, blind).tolist() == expected


@pytest.mark.parametrize(
    ("blind", "fitted", "other"),
    [
        ({}, None, None),
        (["sr"], True, True),
        ({"sr": [0.5, 1.0]}, (0.5, 1.0), True),  # its events are anywhere in another observable
    ],
)
def test_range_is_one_of_the_fit_observable(blind: Any, fitted: Blind, other: Blind) -> None:
    def same(values: Any) -> Any:
        return values

    functor = {"function": same, "use": [("MET", "pt")], "binning": "0,1,2", "label": "m [GeV]"}
    config = load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "genWeight"},
            "datasets": {
                "datasets": [{"name": "ttbar", "directories": "d/", "cross_sections": 1.0}]
            },
            "channels": [
                {
                    "name": "sr",
                    "observables": [{"name": name, **functor} for name in ("mtt", "pt")],
                    "fit_observable": "mtt",
                }
            ],
            "statistics": {"blind": blind},
        }
    )
    assert blind_of(config, "sr", "mtt") == fitted
    assert blind_of(config, "sr", "pt") == other

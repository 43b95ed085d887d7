"""From histograms to a result: workspace, fit, impacts and limits, one signal at a time.

It calls cabinetry and pyhf; templates come from the book, results leave as frozen dataclasses.
"""

from __future__ import annotations

from intccms.statistics.configuration import (
    POI,
    build_config,
    check_cabinetry_config,
    signal_processes,
)
from intccms.statistics.export import changes_of, write
from intccms.statistics.fit import FitOutcome, Prediction, fit, ranking
from intccms.statistics.limits import LimitOutcome, Significance, limits, significance
from intccms.statistics.results import (
    Family,
    SignalResult,
    cross_section_of,
    families,
    infer,
    mass_of,
    needs_toys,
    with_toys,
)
from intccms.statistics.templates import Change
from intccms.statistics.toys import Toys, toy_goodness_of_fit, toy_limits, toy_significance
from intccms.statistics.workspace import Workspace, build_workspace, build_workspaces

__all__ = [
    "POI",
    "Change",
    "Family",
    "FitOutcome",
    "LimitOutcome",
    "Prediction",
    "SignalResult",
    "Significance",
    "Toys",
    "Workspace",
    "build_config",
    "build_workspace",
    "build_workspaces",
    "changes_of",
    "check_cabinetry_config",
    "cross_section_of",
    "families",
    "fit",
    "infer",
    "limits",
    "mass_of",
    "needs_toys",
    "ranking",
    "signal_processes",
    "significance",
    "toy_goodness_of_fit",
    "toy_limits",
    "toy_significance",
    "with_toys",
    "write",
]

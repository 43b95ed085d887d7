"""From histograms to a result: workspace, fit, impacts and limits, one signal at a time.

It calls cabinetry and pyhf; templates come from the book, results leave as frozen dataclasses.
"""

from __future__ import annotations

from intccms.statistics.changes import Change
from intccms.statistics.configuration import (
    build_config,
    check_cabinetry_config,
    signal_processes,
)
from intccms.statistics.export import changes_of, write
from intccms.statistics.families import Family, families
from intccms.statistics.fit import FitOutcome, Prediction, fit, ranking
from intccms.statistics.generation import POI
from intccms.statistics.limits import LimitOutcome, limits
from intccms.statistics.results import (
    SignalResult,
    cross_section_of,
    infer,
    mass_of,
    needs_toys,
    with_toys,
)
from intccms.statistics.significance import Significance, significance
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

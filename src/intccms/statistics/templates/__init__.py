"""Templates of a measurement: taken from the book, repaired, smoothed and blinded."""

from __future__ import annotations

from intccms.statistics.templates.collection import (
    Region,
    Template,
    TemplateSet,
    collect_templates,
)
from intccms.statistics.templates.overlaps import overlaps
from intccms.statistics.templates.rebinning import rebin
from intccms.statistics.templates.repairs import repair

__all__ = ["Region", "Template", "TemplateSet", "collect_templates", "overlaps", "rebin", "repair"]

"""Figures in CMS style: finished numbers in, matplotlib figure and axes out."""

from __future__ import annotations

from intccms.plots import cutflow, systematics
from intccms.plots.blinding import Blind, blind_of
from intccms.plots.data_mc import data_mc
from intccms.plots.saving import save
from intccms.plots.style import CmsFigure, Look, cms_style, look_of

__all__ = [
    "Blind",
    "CmsFigure",
    "Look",
    "blind_of",
    "cms_style",
    "cutflow",
    "data_mc",
    "look_of",
    "save",
    "systematics",
]

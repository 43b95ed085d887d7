"""Figures in CMS style: finished numbers in, matplotlib figure and axes out."""

from __future__ import annotations

from intccms.plots import cutflow, systematics
from intccms.plots.data_mc import blind_of, data_mc
from intccms.plots.style import CmsFigure, Look, cms_style, look_of, save

__all__ = [
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

"""Colours, labels and order of the processes in plots, labels of channels."""

from __future__ import annotations

from typing import Any

from .signals import SIGNALS

__all__ = ["PLOTTING"]

# From M. Petroff's palette of ten, arXiv:2107.02270, which CMS uses: it can be told apart
# without full colour vision.
COLORS = {
    "qcd": "#94a4a2",
    "diboson": "#b9ac70",
    "dyjets": "#a96b59",
    "single_top": "#832db6",
    "ttbar_had": "#717581",
    "ttbar_lep": "#92dadd",
    "wjets": "#ffa90e",
    "ttbar_semilep": "#3f90da",
}
WIDTH_COLORS = {1: "#bd1f01", 10: "#e76300", 30: "#000000"}
LABELS = {
    "qcd": "Multijets",
    "diboson": "$WW$, $WZ$, $ZZ$",
    "dyjets": "$Z$+jets",
    "single_top": "Single $t$",
    "ttbar_had": r"$t\bar{t}$ (all jets)",
    "ttbar_lep": r"$t\bar{t}$ (dilepton)",
    "wjets": "$W$+jets",
    "ttbar_semilep": r"$t\bar{t}$ (lepton+jets)",
    "data": "Data",
}

PLOTTING: dict[str, Any] = {
    "process_colors": COLORS
    | {signal.process: WIDTH_COLORS[signal.width_percent] for signal in SIGNALS},
    "process_labels": LABELS
    | {
        signal.process: f"$Z'$ ({signal.mass_gev / 1000:g} TeV, {signal.width_percent} %)"
        for signal in SIGNALS
    },
    "channel_labels": {
        "one_b_tag": r"$\mu$ + jets, $\geq$ 1 b tag",
        "no_b_tag": r"$\mu$ + jets, no b tag",
    },
    # from the bottom of the stack to its top
    "process_order": [*COLORS, *(signal.process for signal in SIGNALS), "data"],
}

"""Colours, labels and order of the processes in plots, labels of channels."""

from __future__ import annotations

from typing import Any

__all__ = ["PLOTTING"]

# From M. Petroff's palette of ten, arXiv:2107.02270, which CMS uses: it can be told apart
# without full colour vision. W boson and top quark pairs differ in lightness as well.
PLOTTING: dict[str, Any] = {
    "process_colors": {
        "signal": "#bd1f01",
        "ttbar_semilep": "#3f90da",
        "ttbar_lep": "#92dadd",
        "ttbar_had": "#717581",
        "wjets": "#ffa90e",
    },
    "process_labels": {
        "signal": r"$Z' \to t\bar{t}$ (2 TeV)",
        "ttbar_semilep": r"$t\bar{t}$ (lepton+jets)",
        "ttbar_lep": r"$t\bar{t}$ (dilepton)",
        "ttbar_had": r"$t\bar{t}$ (all jets)",
        "wjets": r"$W$+jets",
        "data": "Data",
    },
    "channel_labels": {"CMS_WORKSHOP": "Muon + jets"},
    # from the bottom of the stack to its top
    "process_order": ["ttbar_had", "ttbar_lep", "wjets", "ttbar_semilep", "signal", "data"],
}

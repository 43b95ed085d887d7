"""Simulation and collision data of 2016 (eras G and H, NanoAODv9) from the CERN Open Data portal.

A directory holds listings, one file of URLs or paths per line. `intccms sample` writes them for
synthetic events, `intccms datasets` for the real ones.
"""

from __future__ import annotations

from typing import Any

from . import NAME
from .cuts import lumi_mask

__all__ = ["DATASETS", "GOLDEN_JSON"]

LISTINGS = f"{NAME}/datasets"

# CERN Open Data record 14220.
GOLDEN_JSON = f"{NAME}/corrections/Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"

# Top quark pairs at next-to-next-to-leading order, arXiv:1112.5675, times the branching
# fractions of two W bosons.
TTBAR_XSEC_PB = 831.76

XSECS_PB = {
    "signal/m2000_w20": 1.0,  # so that the signal strength is a cross section in pb
    "ttbar_semilep": TTBAR_XSEC_PB * 0.438,
    "ttbar_had": TTBAR_XSEC_PB * 0.457,
    "ttbar_lep": TTBAR_XSEC_PB * 0.105,
    "wjets": 61526.7,
}


def _simulation(directory: str, xsec_pb: float) -> dict[str, Any]:
    return {
        "name": directory.split("/")[0],
        "directories": f"{LISTINGS}/{directory}/",
        "cross_sections": xsec_pb,
        "file_pattern": "*.txt",
    }


DATASETS: dict[str, Any] = {
    "datasets": [
        *(_simulation(directory, xsec_pb) for directory, xsec_pb in XSECS_PB.items()),
        {
            "name": "data",
            "directories": f"{LISTINGS}/data/",
            "cross_sections": 1.0,  # not used: data are not scaled
            "file_pattern": "*.txt",
            "is_data": True,
            "lumi_mask": {
                "function": lumi_mask,
                "use": [("event", "run"), ("event", "luminosityBlock")],
                "static_kwargs": {"lumifile": GOLDEN_JSON},
            },
        },
    ],
    "max_files": None,
}

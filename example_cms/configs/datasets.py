"""Simulation and single-muon data of three years, and where their listings are.

A directory ``datasets/<year>/<sample>/`` holds listings of logical file names; `intccms datasets`
writes them from ``datasets/sources.yaml``, `intccms sample` makes synthetic files with listings.
"""

from __future__ import annotations

from typing import Any

from . import NAME
from .cuts import lumi_mask
from .signals import SIGNALS
from .years import YEARS

__all__ = ["BACKGROUNDS", "DATASETS", "LUMI_IPB"]

LISTINGS = f"{NAME}/datasets"

# Tried in this order: the cache at coffea-casa, the global door, that at Fermilab.
REDIRECTORS = [
    "root://xcache/",
    "root://cms-xrd-global.cern.ch/",
    "root://cmsxrootd.fnal.gov/",
]

# Cross sections in pb by process and sample, as used by B2G-22-006 (AN2019_197).
BACKGROUNDS: dict[str, dict[str, float]] = {
    "ttbar_semilep": {"TTToSemiLeptonic": 364.31},
    "ttbar_had": {"TTToHadronic": 380.11},
    "ttbar_lep": {"TTTo2L2Nu": 87.33},
    "wjets": {
        "WJetsToLNu_HT-70To100": 1271.0,
        "WJetsToLNu_HT-100To200": 1253.0,
        "WJetsToLNu_HT-200To400": 335.9,
        "WJetsToLNu_HT-400To600": 45.21,
        "WJetsToLNu_HT-600To800": 10.99,
        "WJetsToLNu_HT-800To1200": 4.936,
        "WJetsToLNu_HT-1200To2500": 1.156,
        "WJetsToLNu_HT-2500ToInf": 0.02623,
    },
    "dyjets": {
        "DYJetsToLL_M-50_HT-70to100": 140.1,
        "DYJetsToLL_M-50_HT-100to200": 140.2,
        "DYJetsToLL_M-50_HT-200to400": 38.399,
        "DYJetsToLL_M-50_HT-400to600": 5.21278,
        "DYJetsToLL_M-50_HT-600to800": 1.26567,
        "DYJetsToLL_M-50_HT-800to1200": 0.5684304,
        "DYJetsToLL_M-50_HT-1200to2500": 0.1331514,
        "DYJetsToLL_M-50_HT-2500toInf": 0.00297803565,
    },
    "single_top": {
        "ST_s-channel_4f": 3.36432,
        "ST_t-channel_top_4f": 136.02,
        "ST_t-channel_antitop_4f": 80.95,
        "ST_tW_top_5f": 19.46655,
        "ST_tW_antitop_5f": 19.46655,
    },
    "qcd": {
        "QCD_HT50to100": 185_900_000.0,
        "QCD_HT100to200": 23_610_000.0,
        "QCD_HT200to300": 1_551_000.0,
        "QCD_HT300to500": 324_300.0,
        "QCD_HT500to700": 30_340.0,
        "QCD_HT700to1000": 6440.0,
        "QCD_HT1000to1500": 1118.0,
        "QCD_HT1500to2000": 108.0,
        "QCD_HT2000toInf": 22.0,
    },
    "diboson": {"WW": 118.7, "WZ": 46.74, "ZZ": 16.91},
}

LUMI_IPB = {year.name: year.lumi_ipb for year in YEARS}


def _simulation(process: str, xsecs_pb: dict[str, float]) -> dict[str, Any]:
    """One process: every sample in every year."""
    listed = [(year.name, sample) for year in YEARS for sample in xsecs_pb]
    return {
        "name": process,
        "directories": tuple(f"{LISTINGS}/{year}/{sample}/" for year, sample in listed),
        "cross_sections": tuple(xsecs_pb[sample] for _, sample in listed),
        "years": tuple(year for year, _ in listed),
        "file_pattern": "*.txt",
        "redirector": REDIRECTORS,
    }


def _data() -> dict[str, Any]:
    listed = [(year, directory) for year in YEARS for directory in year.data_directories]
    return {
        "name": "data",
        "directories": tuple(f"{LISTINGS}/{year.name}/{name}/" for year, name in listed),
        "cross_sections": 1.0,  # not used: data are not scaled
        "years": tuple(year.name for year, _ in listed),
        "file_pattern": "*.txt",
        "redirector": REDIRECTORS,
        "is_data": True,
        "lumi_mask": tuple(
            {
                "function": lumi_mask,
                "use": [("event", "run"), ("event", "luminosityBlock")],
                "static_kwargs": {"lumifile": year.golden_json},
            }
            for year, _ in listed
        ),
    }


DATASETS: dict[str, Any] = {
    "datasets": [
        *(_simulation(signal.process, {signal.sample: signal.xsec_pb}) for signal in SIGNALS),
        *(_simulation(process, xsecs_pb) for process, xsecs_pb in BACKGROUNDS.items()),
        _data(),
    ],
    "max_files": None,
}

"""The RDataFrame row; runs in the environment that has ROOT, so it imports nothing of ours."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

with warnings.catch_warnings():  # the packages on PyPI call themselves alpha
    warnings.simplefilter("ignore")
    import ROOT

__all__ = ["main"]

MUON_CUT = "Muon_pt > 55 && abs(Muon_eta) < 2.4f && Muon_tightId == true && Muon_miniIsoId > 1"
FATJET_CUT = "FatJet_pt > 500 && FatJet_particleNet_TvsQCD > 0.5f"
JET_CUT = "Jet_jetId >= 4 && Jet_btagDeepB > 0.5f"


def _declare(asked: dict[str, Any]) -> None:
    """Compile the physics and load the corrections."""
    library = Path(asked["correctionlib"])
    ROOT.gInterpreter.AddIncludePath(str(library / "include"))
    ROOT.gSystem.Load("libROOTVecOps")  # not found by itself while code is compiled
    ROOT.gSystem.Load(str(library / "lib" / "libcorrectionlib.so"))
    ROOT.gInterpreter.Declare(Path(__file__).with_name("dataframe.cpp").read_text())
    ROOT.bench.muon = ROOT.bench.load(asked["muon_file"], asked["muon_keys"])
    ROOT.bench.pileup = ROOT.bench.load(asked["pileup_file"], [asked["pileup_key"]])[0]
    if asked["sources"]:
        ROOT.bench.sources = ROOT.bench.load(asked["jes_file"], list(asked["sources"].values()))


def _frame(asked: dict[str, Any]) -> Any:
    """Make one frame of all files; ``process`` tells whose an event is."""
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    which = "-1"
    for i, (process, files) in enumerate(asked["files"].items()):
        spec.AddSample(ROOT.RDF.Experimental.RSample(process, "Events", files))
        which = f'rdfsampleinfo_.GetSampleName() == "{process}" ? {i} : ({which})'
    # Vary cannot be combined with a column per sample, but with a copy of one
    frame = ROOT.RDataFrame(spec).DefinePerSample("sample", which).Define("process", "sample + 0.")
    return frame.Define("gen_weight", "double(genWeight)")


def _selected(frame: Any, asked: dict[str, Any]) -> Any:
    """Cut first what no jet energy moves, then vary."""
    frame = (
        frame.Filter("HLT_TkMu50 && PuppiMET_pt > 50")
        .Define("muons", f"Nonzero({MUON_CUT})")
        .Filter("muons.size() == 1")
        .Define("muon", "int(muons[0])")
        .Filter("Muon_pt[muon] + PuppiMET_pt > 150")
        .Define("fatjets", f"Nonzero({FATJET_CUT})")
        .Filter("fatjets.size() == 1")
        .Define("good", JET_CUT)
        .Filter("Sum(good) >= 2")
    )
    for name in ("pt", "eta", "phi", "mass"):
        frame = frame.Define(f"jet_{name}", f"Jet_{name}[good]")
    if asked["sources"]:
        tags = [f"{name}_{side}" for name in asked["sources"] for side in ("up", "down")]
        frame = frame.Vary("jet_pt", "bench::shifted(jet_pt, jet_eta)", tags, "jes")
    rest = [
        "bench::chosen(Muon_pt, Muon_eta, Muon_phi, Muon_mass, muon)",
        "bench::chosen(FatJet_pt, FatJet_eta, FatJet_phi, FatJet_mass, int(fatjets[0]))",
        "bench::P4(PuppiMET_pt, 0, PuppiMET_phi, 0)",
    ]
    jet = "bench::chosen(jet_pt, jet_eta, jet_phi, jet_mass, leading)"
    inputs = "genWeight, Pileup_nTrueInt, Muon_eta[muon], Muon_pt[muon]"
    return (
        frame.Define("rest", " + ".join(rest))
        .Define("weight", f"bench::weight({inputs})")
        .Define("leading", f"bench::leading(jet_pt, {asked['min_jet_pt']}f)")
        .Filter("leading >= 0")
        .Define("mtt", f"(rest + {jet}).mass()")
    )


def _arrays(histogram: Any, row: int, n_bins: int) -> np.ndarray[Any, Any]:
    bins = range(n_bins + 2)
    values = [histogram.GetBinContent(i, row + 1) for i in bins]
    errors = [histogram.GetBinError(i, row + 1) for i in bins]
    return np.array([values, np.square(errors)])


def main(asked: dict[str, Any]) -> None:
    """Run the analysis and write its histograms."""
    _declare(asked)
    edges = np.array(asked["edges"])
    n_bins, n_processes = len(edges) - 1, len(asked["files"])
    frame = _frame(asked)
    n_events = frame.Count()
    sumw = frame.Histo1D(("", "", n_processes, 0, n_processes), "process", "gen_weight")
    model = ROOT.RDF.TH2DModel("", "", n_bins, edges, n_processes, 0.0, float(n_processes))
    nominal = _selected(frame, asked).Histo2D(model, "mtt", "process", "weight")
    varied = ROOT.RDF.Experimental.VariationsFor(nominal) if asked["sources"] else None
    names = ["nominal"] if varied is None else [str(key) for key in varied.GetKeys()]
    arrays = {}
    for name in names:
        histogram = nominal if varied is None else varied[name]
        for row, process in enumerate(asked["files"]):
            scale = asked["scale"][process] / sumw.GetBinContent(row + 1)
            key = f"{process}\n{name.removeprefix('jes:')}"
            factors = np.array([[scale], [scale**2]])
            arrays[key] = _arrays(histogram, row, n_bins) * factors
    np.savez(asked["histograms"], **arrays)
    sys.stdout.write(f"{n_events.GetValue()}\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

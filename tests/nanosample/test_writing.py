from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest
import uproot
from coffea.lumi_tools import LumiMask
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.errors import InputError
from intccms.schema import load_config
from nanosample import write_sample
from tests.nanosample.conftest import N_EVENTS, N_FILES, Sample, small_config

REAL_FILES = (
    "nanoAOD_2015_CMS_Open_Data_ttbar.root",  # like v9
    "pfnano.root",
    "GJet_v11_Skim.root",
    "nano_dimuon.root",
)
ONLY_SIMULATION = ("gen", "Gen", "LHE", "PSWeight", "Pileup", "nGen", "nLHE", "nPS", "L1PreFiring")


def events(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Missing cross-reference index", RuntimeWarning)
        return NanoEventsFactory.from_root(
            {str(path): "Events"}, schemaclass=NanoAODSchema, mode="virtual"
        ).events()


def test_every_dataset_has_its_files_and_a_listing(sample: Sample) -> None:
    for process in sample.config.datasets.processes:
        files = sample.files(process)
        assert len(files) == N_FILES
        assert all(file.is_file() for file in files)
        listed = (files[0].parent / "0.txt").read_text()
        assert "/" not in listed


def test_the_summary_counts_what_was_written(sample: Sample) -> None:
    paths = [path for p in sample.config.datasets.processes for path in sample.files(p)]
    summary = sample.summary
    assert summary.files == len(paths) == len(sample.calls)
    assert summary.events == len(paths) * N_EVENTS == sum(n for _, n in sample.calls)
    assert summary.size_bytes == sum(path.stat().st_size for path in paths)
    assert [Path(path) for path, _ in sample.calls] == paths


def test_simulation_has_the_branches_of_an_analysis(sample: Sample) -> None:
    names = set(sample.tree("ttbar_semilep").keys())
    assert len(names) >= 150
    needed = sample.config.preprocess.branches
    for collection, columns in needed.items():
        for column in columns:
            assert (column if collection == "event" else f"{collection}_{column}") in names
    assert {"Jet_area", "Jet_hadronFlavour", "Jet_genJetIdx", "fixedGridRhoFastjetAll"} <= names


def test_data_has_nothing_that_only_simulation_knows(sample: Sample) -> None:
    names = sample.tree("data").keys()
    assert len(names) >= 150
    assert not [name for name in names if name.startswith(ONLY_SIMULATION)]
    assert not [n for n in names if n.endswith(("hadronFlavour", "genPartIdx", "genJetIdx"))]


@pytest.mark.parametrize("process", ["ttbar_semilep", "data"])
def test_types_are_those_of_real_files(
    process: str, sample: Sample, shared_data: Path, require: Callable[[object, str], None]
) -> None:
    real = [shared_data / "nano" / name for name in REAL_FILES]
    for path in real:
        require(path, f"no {path.name}")
    types = [uproot.open(path)["Events"].typenames() for path in real]
    ours = sample.tree(process).typenames()
    wrong = {}
    for name, found in ours.items():
        theirs = next((known[name] for known in types if name in known), None)
        # uproot writes the counters of lists as signed integers
        if theirs not in (None, found) and not (name[0] == "n" and found == "int32_t"):
            wrong[name] = (found, theirs)
    assert wrong == {}
    known = sum(any(name in of_file for of_file in types) for name in ours)
    assert known > 0.95 * len(ours)


def test_runs_holds_the_sums_of_the_weights(sample: Sample) -> None:
    for process in ("signal", "ttbar_semilep", "wjets"):
        for i in range(N_FILES):
            weight = sample.tree(process, i)["genWeight"].array(library="np").astype(float)
            runs = sample.tree(process, i, "Runs").arrays(library="np")
            assert runs["run"].tolist() == [1]
            assert runs["genEventCount"].tolist() == [N_EVENTS]
            assert runs["genEventSumw"][0] == pytest.approx(weight.sum(), rel=1e-12)
            assert runs["genEventSumw2"][0] == pytest.approx((weight**2).sum(), rel=1e-12)


def test_some_weights_are_negative_and_their_sum_is_not(sample: Sample) -> None:
    weight = sample.tree("ttbar_semilep")["genWeight"].array(library="np")
    assert (weight < 0).any()
    assert weight.sum() > 0


def test_event_numbers_are_unique_in_a_dataset(sample: Sample) -> None:
    for process in sample.config.datasets.processes:
        numbers = [sample.tree(process, i)["event"].array(library="np") for i in range(N_FILES)]
        assert len(np.unique(np.concatenate(numbers))) == N_FILES * N_EVENTS


def test_every_section_of_an_event_is_among_the_luminosity_blocks(sample: Sample) -> None:
    for process in ("data", "wjets"):
        of_events = sample.tree(process).arrays(["run", "luminosityBlock"], library="np")
        blocks = sample.tree(process, 0, "LuminosityBlocks").arrays(library="np")
        seen = set(zip(of_events["run"], of_events["luminosityBlock"], strict=True))
        listed = list(zip(blocks["run"], blocks["luminosityBlock"], strict=True))
        assert seen <= set(listed)
        assert len(listed) == len(set(listed))
    assert len(seen) < len(listed) or process == "wjets"


def test_some_data_lie_outside_the_golden_json(sample: Sample) -> None:
    (golden,) = sample.summary.golden_jsons
    mask = LumiMask(str(sample.out / golden))
    assert json.loads((sample.out / golden).read_text())
    kept = []
    for i in range(N_FILES):
        data = sample.tree("data", i).arrays(["run", "luminosityBlock"], library="np")
        kept.append(mask(data["run"], data["luminosityBlock"]))
    assert 0.02 < 1 - np.concatenate(kept).mean() < 0.08


def test_files_of_data_share_no_section(sample: Sample) -> None:
    blocks = [sample.tree("data", i, "LuminosityBlocks").arrays(library="np") for i in (0, 1)]
    one, two = (set(zip(b["run"], b["luminosityBlock"], strict=True)) for b in blocks)
    assert one
    assert two
    assert not one & two


def test_nanoevents_loads_the_file_with_its_cross_references(sample: Sample) -> None:
    found = events(sample.files("signal")[0])
    assert len(found) == N_EVENTS
    muons = found.Muon[(found.Muon.pt > 100) & (found.Muon.miniIsoId > 1)]
    matched = ak.flatten(muons.matched_gen.pdgId)
    share = ak.mean(ak.fill_none(abs(matched) == 13, False))
    assert share > 0.75  # the others come from taus and bottom quarks
    jets = found.Jet[found.Jet.genJetIdx >= 0]
    ratio = ak.drop_none(ak.flatten(jets.pt / jets.matched_gen.pt))
    assert np.median(ratio.to_numpy()) == pytest.approx(1, abs=0.03)
    pt = found.Jet.pt
    assert ak.all(pt[:, :-1] >= pt[:, 1:])


def test_the_generated_pair_peaks_at_the_mass_of_the_resonance(sample: Sample) -> None:
    particles = events(sample.files("signal")[0]).GenPart
    tops = particles[abs(particles.pdgId) == 6]
    assert ak.all(ak.num(tops) == 2)
    assert np.median(ak.to_numpy((tops[:, 0] + tops[:, 1]).mass)) == pytest.approx(2000, abs=10)


def test_corrections_are_those_that_the_configuration_reads(sample: Sample) -> None:
    n_keys = 0
    for correction in sample.config.corrections_for(None):
        if correction.file is None:
            continue
        made = correctionlib.CorrectionSet.from_file(str(sample.out / correction.file))
        keys = [correction.key, *(source.key for source in correction.uncertainty_sources)]
        assert {key for key in keys if key is not None} <= set(made)
        n_keys += len(keys)
    assert n_keys > 30


def test_the_same_seed_gives_the_same_bytes_but_for_the_time(tmp_path: Path) -> None:
    config = load_config(small_config())
    files = []
    for name, options in {"one": {}, "two": {"files_per_process": 2}}.items():
        arguments: dict[str, Any] = {"files_per_process": 1, "events_per_file": 200} | options
        write_sample(tmp_path / name, config, **arguments)
        files.append(tmp_path / name / "somewhere/wjets/wjets_0.root")
    one, two = (np.frombuffer(file.read_bytes(), dtype=np.uint8) for file in files)
    assert len(one) == len(two)
    n_records = len(uproot.open(files[0])["Events"].keys()) + 60
    assert (one != two).sum() <= 2 * n_records  # the last bytes of a time in seconds
    assert uproot.open(files[0]).file.uuid == uproot.open(files[1]).file.uuid


def test_another_seed_gives_other_events(tmp_path: Path) -> None:
    config = load_config(small_config())
    found = []
    for seed in (1, 2):
        out = tmp_path / str(seed)
        write_sample(out, config, files_per_process=1, events_per_file=100, seed=seed)
        file = uproot.open(out / "somewhere/wjets/wjets_0.root")
        found.append((file["Events/PuppiMET_pt"].array(library="np"), file.file.uuid))
    assert not np.array_equal(found[0][0], found[1][0])
    assert found[0][1] != found[1][1]


def test_an_rntuple_holds_the_same_events(tmp_path: Path) -> None:
    config = load_config(small_config())
    for form in ("ttree", "rntuple"):
        write_sample(
            tmp_path / form,
            config,
            files_per_process=1,
            events_per_file=300,
            file_format=form,  # type: ignore[arg-type]
        )
    tree, ntuple = (
        events(tmp_path / form / "somewhere/wjets/wjets_0.root") for form in ("ttree", "rntuple")
    )
    assert set(tree.fields) == set(ntuple.fields)
    for name in ("Jet", "Muon", "GenPart"):
        assert set(tree[name].fields) >= set(ntuple[name].fields)
    for one, two in ((tree.Jet.pt, ntuple.Jet.pt), (tree.genWeight, ntuple.genWeight)):
        assert ak.to_list(one) == ak.to_list(two)


def test_branches_are_added_until_there_are_enough(tmp_path: Path) -> None:
    config = load_config(small_config())
    write_sample(tmp_path, config, files_per_process=1, events_per_file=20, branches=400)
    names = uproot.open(tmp_path / "somewhere/wjets/wjets_0.root")["Events"].keys()
    assert len(names) == 400


def test_without_a_listing_pattern_there_is_no_listing(tmp_path: Path) -> None:
    config = load_config(small_config(file_pattern="*.root", tree_name="Other"))
    summary = write_sample(tmp_path, config, files_per_process=1, events_per_file=20)
    (path,) = (tmp_path / "somewhere/wjets").iterdir()
    assert path.suffix == ".root"
    assert "Other" in uproot.open(path)
    assert summary.files == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directories": "/absolute/wjets"}, "relative"),
        ({"directories": "../outside"}, "relative"),
        ({"directories": "root://server//wjets"}, "relative"),
        ({"name": "unicorns"}, "cannot tell"),
        ({"name": "data", "is_data": True}, "mixture of backgrounds"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=message):
        write_sample(out, load_config(small_config(**change)), events_per_file=10)
    assert not out.exists()


def certified(run: Any, section: Any, *, lumifile: str) -> Any:
    return run > 0


def test_years_and_eras_have_their_own_data(tmp_path: Path) -> None:
    table = small_config(
        directories=("2016/WJetsToLNu_HT-100To200", "2017/WJetsToLNu_HT-600To800"),
        cross_sections=(1353.0, 12.1),
        years=("2016", "2017"),
    )
    mask = {"function": certified, "use": [], "static_kwargs": {"lumifile": "golden/2016.json"}}
    data = {
        "name": "data",
        "directories": ("2016/SingleMuonRunB", "2016/SingleMuonRunC", "2017/SingleMuonRunB"),
        "cross_sections": 1.0,
        "years": ("2016", "2016", "2017"),
        "is_data": True,
        "lumi_mask": (mask, mask, None),
    }
    table["datasets"]["datasets"].append(data)
    summary = write_sample(tmp_path, load_config(table), files_per_process=1, events_per_file=50)
    assert summary.golden_jsons == ("golden/2016.json",)
    assert set(summary.events_by_dataset) == {
        "wjets_2016",
        "wjets_2017",
        "data_2016_SingleMuonRunB",
        "data_2016_SingleMuonRunC",
        "data_2017",
    }
    golden = LumiMask(str(tmp_path / "golden/2016.json"))
    seen = []
    for era in "BC":
        (path,) = (tmp_path / f"2016/SingleMuonRun{era}").glob("*.root")
        blocks = uproot.open(path)["LuminosityBlocks"].arrays(library="np")
        good = golden(blocks["run"], blocks["luminosityBlock"])
        assert good.any()
        assert not good.all()
        seen.append(set(zip(blocks["run"], blocks["luminosityBlock"], strict=True)))
    assert not seen[0] & seen[1]


def test_correction_files_without_keys_are_refused(tmp_path: Path) -> None:
    table = small_config() | {
        "corrections": [
            {
                "name": "mystery",
                "type": "event",
                "file": "mystery.json",
                "use_correctionlib": False,
                "nominal_function": len,
                "args": [],
            }
        ]
    }
    with pytest.raises(InputError, match=r"mystery\.json"):
        write_sample(tmp_path / "out", load_config(table), events_per_file=10)
    assert not (tmp_path / "out").exists()

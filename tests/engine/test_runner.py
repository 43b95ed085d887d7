"""Runs over small files: normalisation, restrictions, lumi masks, cutflows, losses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.lumi_tools import LumiMask

from intccms.analysis.runner import AnalysisResult, run
from intccms.errors import ConfigError, InputError, IntccmsError, MissingColumnError
from intccms.schema import load_config
from tests.engine import small
from tests.engine.conftest import make_events, write_file
from tests.engine.small import channel, function, observable

MET = ("PuppiMET", "pt")


def write(path: Path, n: int = 200, seed: int = 1, **runs: float) -> dict[str, ak.Array]:
    """Write `n` events, and a ``Runs`` tree when its columns are given."""
    events = make_events(n, seed)
    write_file(path, events)
    if runs:
        with uproot.update(path) as file:
            columns = {name: np.array([value]) for name, value in runs.items()}
            file.mktree("Runs", {name: column.dtype for name, column in columns.items()})
            file["Runs"].extend(columns)
    return events


def process(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "directories": f"{name}/", "cross_sections": 2.0, **fields}


def analysed(base: Path, *processes: dict[str, Any], **parts: Any) -> AnalysisResult:
    general = {
        "lumi": 100.0,
        "base_dir": str(base),
        "output_dir": str(base / "out"),
        "executor": "iterative",
        **parts.pop("general", {}),
    }
    datasets = {"datasets": list(processes or [process("mc")])}
    return run(load_config(small.config(general=general, datasets=datasets, **parts)))


def sumw(events: dict[str, ak.Array]) -> float:
    return float(np.sum(np.asarray(events["genWeight"], dtype=np.float64)))


def total(result: AnalysisResult, name: str, label: str = "nominal") -> float:
    histogram = result.histograms.histograms["all", "met"]
    return float(histogram[:, name, label].values(flow=True).sum())


# Normalisation


def test_without_cuts_the_integral_is_cross_section_times_luminosity(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root", seed=1)
    write(tmp_path / "mc/1.root", n=150, seed=2)
    result = analysed(tmp_path)
    assert total(result, "mc") == pytest.approx(200.0, rel=1e-12)


def test_a_filtered_file_is_normalised_by_its_runs(tmp_path: Path) -> None:
    events = write(tmp_path / "mc/0.root", genEventSumw=1e5, genEventCount=1000)
    result = analysed(tmp_path)
    book = result.ledger.datasets["mc"]
    assert book.sumw_source == "runs"
    assert (book.planned.sumw, book.processed.sumw) == (1e5, 1e5)
    assert total(result, "mc") == pytest.approx(200.0 * sumw(events) / 1e5, rel=1e-12)


def test_runs_that_agree_change_nothing(tmp_path: Path) -> None:
    events = write(tmp_path / "mc/0.root")
    value = sumw(events)
    with uproot.update(tmp_path / "mc/0.root") as file:
        file.mktree("Runs", {"genEventSumw": "f8", "genEventCount": "i8"})
        file["Runs"].extend({"genEventSumw": [value * (1 + 1e-6)], "genEventCount": [200]})
    book = analysed(tmp_path).ledger.datasets["mc"]
    assert book.sumw_source == "events"
    assert book.processed.sumw == value


def test_old_names_of_the_sum_in_runs_are_read(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root", genEventSumw_=1e5, genEventCount_=1000)
    assert analysed(tmp_path).ledger.datasets["mc"].sumw_source == "runs"


def test_a_sum_of_weights_that_is_not_positive_names_the_dataset(tmp_path: Path) -> None:
    events = make_events(50, seed=1)
    write_file(tmp_path / "mc/0.root", {**events, "genWeight": -np.ones(50, dtype="f4")})
    with pytest.raises(IntccmsError, match="'mc': the sum of genWeight is -50"):
        analysed(tmp_path)


def test_datasets_of_a_process_are_normalised_one_by_one(tmp_path: Path) -> None:
    write(tmp_path / "a/0.root", seed=1)
    write(tmp_path / "b/0.root", n=50, seed=2)
    both = process("mc", directories=("a/", "b/"), cross_sections=(2.0, 3.0))
    result = analysed(
        tmp_path,
        {**both, "years": ("2016", "2017")},
        general={"lumi": {"2016": 100.0, "2017": 10.0}},
    )
    assert total(result, "mc") == pytest.approx(200.0 + 30.0, rel=1e-12)


def test_a_source_that_one_year_lacks_has_that_years_nominal(tmp_path: Path) -> None:
    write(tmp_path / "a/0.root", seed=1)
    write(tmp_path / "b/0.root", seed=2)
    both = process("mc", directories=("a/", "b/"), cross_sections=2.0, years=("2016", "2017"))

    def weight(name: str) -> dict[str, Any]:
        source = {"name": name, "up_function": lambda: 1.5, "down_function": lambda: 0.5}
        return {
            "name": "w",
            "type": "event",
            "use_correctionlib": False,
            "uncertainty_sources": [source],
        }

    corrections = {"2016": [weight("old")], "2017": [weight("new")]}
    result = analysed(
        tmp_path, both, corrections=corrections, general={"lumi": {"2016": 100.0, "2017": 100.0}}
    )
    assert result.histograms.varied["mc"] == ("old_up", "old_down", "new_up", "new_down")
    expected = {"nominal": 400, "old_up": 500, "old_down": 300, "new_up": 500, "new_down": 300}
    for label, value in expected.items():
        assert total(result, "mc", label) == pytest.approx(value, rel=1e-12), label


# Restrictions and switches


def test_processes_and_channels_can_be_restricted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "0.root")
    quantity = observable("met", lambda pt: pt, MET)
    result = analysed(
        tmp_path,
        process("one"),
        process("two"),
        channels=[channel("first", [quantity]), channel("second", [quantity])],
        general={"processes": ["two"], "channels": ["second"]},
    )
    assert list(result.histograms.histograms) == [("second", "met")]
    assert result.histograms.processes == ("two",)
    assert set(result.cutflow) == {"second"}
    assert set(result.ledger.datasets) == {"two"}


@pytest.mark.parametrize(("key", "text"), [("processes", "process 'x'"), ("channels", "'x'")])
def test_an_unknown_name_in_a_restriction_is_an_error(tmp_path: Path, key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        analysed(tmp_path, general={key: ["x"]})


def test_without_histogramming_there_is_a_cutflow_only(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    result = analysed(tmp_path, general={"run_histogramming": False})
    assert result.histograms.histograms == {}
    assert result.cutflow["all"]["mc"][-1].n_events == 200


def test_the_last_row_of_the_cutflow_is_the_integral(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    weight = {
        "name": "w",
        "type": "event",
        "use_correctionlib": False,
        "nominal_function": lambda met: 1 + 0.01 * met,
        "args": [MET],
    }
    narrow = observable("met", lambda pt: pt, MET, edges=[50.0, 60.0])
    hard = function(lambda met: met > 40, MET)
    result = analysed(tmp_path, corrections=[weight], channels=[channel("all", [narrow], hard)])
    last = result.cutflow["all"]["mc"][-1]
    assert last.yields == pytest.approx(total(result, "mc"), rel=1e-12)
    assert last.name == "event weights"


def test_the_cutflow_counts_cut_by_cut(tmp_path: Path) -> None:
    from coffea.analysis_tools import PackedSelection

    events = write(tmp_path / "mc/0.root")

    def baseline(met: ak.Array, muons: ak.Array) -> PackedSelection:
        cuts = PackedSelection()
        cuts.add("some_met", met > 30)
        cuts.add("one_muon", ak.num(muons) == 1)
        cuts.add("baseline", cuts.all("some_met", "one_muon"))
        return cuts

    result = analysed(
        tmp_path,
        baseline_selection=function(baseline, MET, ("Muon", "phi")),
        channels=[
            channel("all", [observable("met", lambda pt: pt, MET)], function(lambda m: m > 80, MET))
        ],
    )
    met, one = events["PuppiMET_pt"], ak.num(events["Muon"]) == 1
    steps = {step.name: step.n_events for step in result.cutflow["all"]["mc"]}
    assert steps == {
        "all events": 200,
        "some_met": np.sum(met > 30),
        "one_muon": np.sum((met > 30) & one),
        "all": np.sum((met > 80) & one),
        "event weights": np.sum((met > 80) & one),
    }


# Data


def by_lumi(run: ak.Array, section: ak.Array, golden_json: str) -> ak.Array:
    return LumiMask(golden_json)(run, section)


def lumi_mask(golden: str) -> dict[str, Any]:
    use = (("event", "run"), ("event", "luminosityBlock"))
    return function(by_lumi, *use, static_kwargs={"golden_json": golden})


def data(tmp_path: Path, golden: Path | str, **fields: Any) -> AnalysisResult:
    return analysed(
        tmp_path, process("data", is_data=True, lumi_mask=lumi_mask(str(golden)), **fields)
    )


def test_uncertified_sections_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "data/0.root", n=300)  # sections 0, 1 and 2 of run 1, 100 events each
    (tmp_path / "golden.json").write_text(json.dumps({"1": [[1, 1]]}))
    result = data(tmp_path, "golden.json")  # found from base_dir
    steps = {step.name: step.n_events for step in result.cutflow["all"]["data"]}
    assert (steps["all events"], steps["lumi mask"]) == (300, 100)
    assert total(result, "data") == 100.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the golden JSON"),
        ("{'1': [[1, 2]]}", "is not JSON"),
        ('{"1": [1, 2]}', "is not a golden JSON"),
        ('{"1": [[1, "x"]]}', "is not a golden JSON"),
        ("[]", "is not a golden JSON"),
        ("{}", "is empty: it certifies nothing"),
        ('{"1": []}', "is empty: it certifies nothing"),
        ('{"1": [[5, 2]]}', r"\[5, 2\] in run 1 is not a pair"),
        ('{"1": [[-3, 2]]}', r"\[-3, 2\] in run 1 is not a pair"),
        ('{"1": [[1, 2.5]]}', r"\[1, 2.5\] in run 1 is not a pair"),
        ('{"1": [[true, 2]]}', r"\[True, 2\] in run 1 is not a pair"),
        ('{"1": [[1, 4294967296]]}', "in run 1 is not a pair"),
        ('{"1e3": [[1, 2]]}', "'1e3' is not the number of a run"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_golden_json_that_is_none_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    write(tmp_path / "data/0.root", n=10)
    if text is not None:
        (tmp_path / "golden.json").write_text(text)
    with pytest.raises(InputError, match=f"{message}|{message}.*golden.json"):
        data(tmp_path, "golden.json")


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("nano_dimuon.root", "Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt"),
        ("nano_dimuon.root", "Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"),
        ("nano_dimuon.root", "Cert_314472-325175_integration_challenge_copy.txt"),
        ("EGamma_F_Skim.root", "Cert_294927-306462_13TeV_UL2017_Collisions17_GoldenJSON.txt"),
    ],
)
def test_real_lumi_masks_agree_with_coffea(
    tmp_path: Path, shared_data: Path, name: str, golden: str
) -> None:
    (tmp_path / "data").mkdir()
    shutil.copy(shared_data / "nano" / name, tmp_path / "data")
    with uproot.open({str(tmp_path / "data" / name): "Events"}) as tree:
        ids = tree.arrays(["run", "luminosityBlock"], library="np")
    path = shared_data / "golden" / golden
    expected = np.count_nonzero(LumiMask(str(path))(ids["run"], ids["luminosityBlock"]))
    result = analysed(
        tmp_path,
        process("data", is_data=True, lumi_mask=lumi_mask(str(path))),
        channels=[channel("all", [observable("met", lambda pt: pt, ("MET", "pt"))])],
    )
    assert total(result, "data") == expected


# What is missing or lost


def test_a_branch_that_every_file_lacks_names_dataset_and_branch(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    quantity = observable("x", lambda jets: ak.sum(jets.no_such, axis=1), ("Jet", None))
    with pytest.raises(MissingColumnError, match=r"dataset 'mc': .*Jet\.no_such"):
        analysed(tmp_path, channels=[channel("all", [quantity])])


def test_a_branch_that_only_a_shift_needs_is_named_before_the_run(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    shift = {
        "name": "scale",
        "type": "object",
        "target": MET,
        "use": [("PuppiMET", "no_such")],
        "op": "mult",
        "up_function": lambda x: x,
        "down_function": lambda x: x,
    }
    with pytest.raises(MissingColumnError, match=r"dataset 'mc': PuppiMET has no field 'no_such'"):
        analysed(tmp_path, systematics=[shift])


def test_a_missing_branch_is_found_behind_a_function_that_needs_events(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")

    def needs_events(met: ak.Array) -> ak.Array:
        return met > 0.1 * float(ak.to_numpy(met)[0])

    quantity = observable("x", lambda jets: ak.sum(jets.no_such, axis=1), ("Jet", None))
    with pytest.raises(MissingColumnError, match=r"dataset 'mc': .*Jet\.no_such"):
        analysed(
            tmp_path,
            baseline_selection=function(needs_events, MET),
            channels=[channel("all", [quantity])],
        )


def test_a_missing_weight_branch_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    with pytest.raises(MissingColumnError, match="'genWeigth'.*did you mean 'genWeight'"):
        analysed(tmp_path, general={"weight_branch": "genWeigth"})


def test_a_file_that_lacks_what_its_siblings_have_is_lost(tmp_path: Path) -> None:
    good = write(tmp_path / "mc/0.root")
    poor = make_events(100, seed=2)
    del poor["PuppiMET_pt"]
    write_file(tmp_path / "mc/1.root", poor)
    result = analysed(tmp_path)
    book = result.ledger.datasets["mc"]
    assert (book.lost.files, book.lost.events, book.processed.events) == (1, 100, 200)
    assert "PuppiMET" in result.ledger.lost_chunks[0].error
    assert book.processed.sumw == sumw(good)


def test_an_unreadable_file_is_lost_by_name_and_the_rest_is_normalised(
    tmp_path: Path, shared_data: Path
) -> None:
    good = write(tmp_path / "mc/0.root")
    shutil.copy(shared_data / "broken/truncated_50pct.root", tmp_path / "mc/1.root")
    result = analysed(tmp_path)
    (lost,) = result.ledger.lost_chunks
    assert lost.file.endswith("mc/1.root")
    assert lost.entries is None
    book = result.ledger.datasets["mc"]
    assert (book.planned.files, book.processed.files, book.lost.files) == (2, 1, 1)
    assert (book.files_of_unknown_size, book.planned.events, book.lost.events) == (1, None, None)
    assert book.processed.sumw == sumw(good)
    assert total(result, "mc") == pytest.approx(200.0, rel=1e-12)
    assert result.ledger.lost_fraction() == 0.5


def test_files_without_events_are_processed(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    write(tmp_path / "mc/1.root", n=0)
    result = analysed(tmp_path)
    book = result.ledger.datasets["mc"]
    assert (book.planned.files, book.processed.files, book.lost.files) == (2, 2, 0)
    assert result.ledger.is_complete


def test_chunks_without_selected_events_are_fine(tmp_path: Path) -> None:
    write(tmp_path / "mc/0.root")
    baseline = function(lambda met: met > 1e9, MET)
    lead = observable("met", lambda jets: jets.pt[:, 0], ("Jet", None))
    result = analysed(tmp_path, baseline_selection=baseline, channels=[channel("all", [lead])])
    assert total(result, "mc") == 0

"""For whom something holds: corrections of some processes and channels, a part of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.analysis.runner import AnalysisResult, run
from intccms.errors import ConfigError, FunctionError
from intccms.schema import load_config
from tests.engine import small
from tests.engine.conftest import make_events, write_file
from tests.engine.small import channel, function, observable

MET, JETS, FAT = ("PuppiMET", "pt"), ("Jet", "pt"), ("FatJet", "pt")


def process(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "directories": f"{name}/", "cross_sections": 1.0, **fields}


def weight(value: float, **fields: Any) -> dict[str, Any]:
    return {
        "name": f"weight_{value}",
        "type": "event",
        "use_correctionlib": False,
        "args": [MET],
        "nominal_function": lambda met: met * 0 + value,
        **fields,
    }


def analysed(base: Path, *processes: dict[str, Any], **parts: Any) -> AnalysisResult:
    general = {
        "lumi": 1.0,
        "base_dir": str(base),
        "output_dir": str(base / parts.pop("out", "out")),
        "executor": "iterative",
        **parts.pop("general", {}),
    }
    datasets = {"datasets": list(processes)}
    return run(load_config(small.config(general=general, datasets=datasets, **parts)))


def total(result: AnalysisResult, name: str, label: str = "nominal", where: str = "all") -> float:
    return float(result.histograms.slice(where, "met", name, label).values(flow=True).sum())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("scopes")
    for seed, name in enumerate(("a", "b")):
        write_file(base / name / "0.root", make_events(300, seed))
    return base


def test_a_correction_and_a_source_hold_for_some_processes(base: Path) -> None:
    source = {"name": "size", "up_function": lambda met: met * 0 + 3.0, "processes": ["a"]}
    corrections = [
        weight(0.5, processes="a"),
        weight(0.25, datasets=["b"], uncertainty_sources=[source]),
        weight(2.0, uncertainty_sources=[source | {"name": "other", "datasets": ["b"],
                                                   "processes": None}]),
    ]  # fmt: skip
    result = analysed(base, process("a"), process("b"), corrections=corrections)
    assert [total(result, name) for name in "ab"] == pytest.approx([1.0, 0.5])
    assert [total(result, name, "other_up") for name in "ab"] == pytest.approx([1.0, 0.75])
    assert "size_up" not in result.histograms.variations("a")


def test_a_weight_may_hold_in_some_channels(base: Path) -> None:
    met = observable("met", lambda pt: pt, MET)
    source = {"name": "w", "up_function": lambda met: met * 0 + 7.0}
    shifts = {
        "name": "met",
        "type": "object",
        "use_correctionlib": False,
        "target": MET,
        "args": [MET],
        "uncertainty_sources": [{"name": "met", "up_function": lambda pt: pt * 0 + 1.5}],
    }
    corrections = [
        weight(0.5, channels=["one"], uncertainty_sources=[source]),
        weight(2.0, uncertainty_sources=[{**source, "name": "v", "channels": "two"}]),
        shifts,
    ]
    channels = [channel("one", [met]), channel("two", [met])]
    result = analysed(base, process("a"), channels=channels, corrections=corrections)
    found = {
        label: [total(result, "a", label, name) for name in ("one", "two")]
        for label in ("nominal", "w_up", "v_up", "met_up")
    }
    assert found["nominal"] == pytest.approx([1.0, 2.0])
    assert found["w_up"] == pytest.approx([14.0, 2.0])
    assert found["v_up"] == pytest.approx([1.0, 7.0])
    assert found["met_up"] == pytest.approx([1.0, 2.0])


def even(event: ak.Array) -> ak.Array:
    return event % 2 == 0


@pytest.mark.parametrize("chunk_size", [1000, 37])
def test_a_dataset_may_count_a_part_of_its_events_only(base: Path, chunk_size: int) -> None:
    events = make_events(300, 1)
    gen = np.asarray(events["genWeight"], dtype="f8")
    expected = gen[::2].sum() / gen.sum()
    chunks = {"skimming": {"chunk_size": chunk_size}}
    cut = function(even, ("event", "event"))
    result = analysed(
        base, process("a"), process("b", selection=cut), preprocess=chunks, out=f"{chunk_size}"
    )
    assert total(result, "a") == pytest.approx(1.0)
    assert total(result, "b") == pytest.approx(expected, rel=1e-12)
    steps = {step.name: step.yields for step in result.cutflow["all"]["b"]}
    assert steps["all events"] == pytest.approx(1.0)
    assert steps["dataset selection"] == pytest.approx(expected)


def test_each_directory_has_its_own_part(base: Path) -> None:
    cut = function(even, ("event", "event"))
    entry = process("both", selection=[cut, None])
    entry |= {"directories": ["a/", "b/"], "cross_sections": [1.0, 10.0]}
    result = analysed(base, entry, out="both")
    gen = np.asarray(make_events(300, 0)["genWeight"], dtype="f8")
    assert total(result, "both") == pytest.approx(10.0 + gen[::2].sum() / gen.sum())
    other = analysed(base, entry | {"selection": None}, out="both")
    assert total(other, "both") == pytest.approx(11.0), "it is in the key of what is kept"


def moved(factor: float) -> Any:
    def scaled(pt: ak.Array) -> ak.Array:
        return 1 + (factor - 1) * pt / 100

    return scaled


def jes(collection: str, **fields: Any) -> dict[str, Any]:
    source = {"name": "jes", "up_function": moved(1.1), "down_function": moved(0.9)}
    return {
        "name": f"jes_{collection}",
        "type": "object",
        "use_correctionlib": False,
        "target": (collection, "pt"),
        "args": [(collection, "pt")],
        "uncertainty_sources": [{**source, **fields.pop("source", {})}],
        **fields,
    }


def sum_of(jets: ak.Array, fat: ak.Array, met: ak.Array) -> ak.Array:
    return ak.sum(jets, axis=1) + ak.sum(fat, axis=1) + 0.1 * met


def test_one_source_moves_several_collections_and_what_follows_them(base: Path) -> None:
    events = make_events(300, 0)
    jets, fat = (ak.values_astype(events[name].pt, "f8") for name in ("Jet", "FatJet"))
    met = observable("met", sum_of, JETS, FAT, MET, edges=[0.0, 300.0, 600.0, 900.0, 3000.0])
    nominal = {"nominal_function": moved(1.2), "source": {"is_delta": True}}
    follower = {
        "name": "follows",
        "type": "object",
        "use_correctionlib": False,
        "target": MET,
        "args": [MET, JETS, FAT],
        "nominal_function": lambda met, jets, fat: (
            1 + (ak.sum(jets, axis=1) + ak.sum(fat, axis=1)) / 1000
        ),
    }
    corrections = [jes("Jet"), jes("FatJet", **nominal), follower]
    channels = [channel("all", [met])]
    result = analysed(
        base, process("a"), channels=channels, corrections=corrections, out="together"
    )
    assert result.histograms.variations("a") == ("nominal", "jes_up", "jes_down")
    gen = np.asarray(events["genWeight"], dtype="f8")
    raw = np.asarray(events["PuppiMET_pt"], dtype="f8")
    for label, factor in (("nominal", 1.0), ("jes_up", 1.1), ("jes_down", 0.9)):
        new = ak.values_astype(jets * moved(factor)(jets), "f4")
        large = ak.values_astype(fat * moved(1.2)(fat), "f4")
        large = ak.values_astype(large * moved(factor)(large), "f4")
        momentum = raw * (1 + ak.to_numpy(ak.sum(new, axis=1) + ak.sum(large, axis=1)) / 1000)
        values = ak.to_numpy(sum_of(new, large, momentum))
        expected = small.filled(values, gen, met["binning"]) / gen.sum()
        got = result.histograms.slice("all", "met", "a", label).values(flow=True)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_two_corrections_of_one_collection_move_one_after_the_other(base: Path) -> None:
    events = make_events(300, 0)
    jets = ak.values_astype(events["Jet"].pt, "f8")
    met = observable("met", lambda pt: ak.sum(pt, axis=1), JETS, edges=[0.0, 200.0, 400.0, 3000.0])
    corrections = [jes("Jet"), jes("Jet", name="again")]
    result = analysed(
        base, process("a"), channels=[channel("all", [met])], corrections=corrections, out="twice"
    )
    once = ak.values_astype(jets * moved(1.1)(jets), "f4")
    twice = ak.values_astype(once * moved(1.1)(once), "f4")
    gen = np.asarray(events["genWeight"], dtype="f8")
    values = ak.to_numpy(ak.sum(twice, axis=1))
    expected = small.filled(values, gen, met["binning"]) / gen.sum()
    got = result.histograms.slice("all", "met", "a", "jes_up").values(flow=True)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_each_target_may_have_its_own_change(base: Path) -> None:
    events = make_events(300, 0)
    shift = {
        "name": "turned",
        "type": "object",
        "op": "add",
        "use_correctionlib": False,
        "target": [MET, ("PuppiMET", "phi")],
        "args": [MET],
        "uncertainty_sources": [
            {"name": "turned", "up_function": lambda pt: (pt * 0 + 5.0, pt * 0 + 0.25)}
        ],
    }
    both = observable(
        "met", lambda pt, phi: pt + 100 * phi, MET, ("PuppiMET", "phi"),
        edges=[-400.0, -100.0, 100.0, 600.0],
    )  # fmt: skip
    channels = [channel("all", [both])]
    result = analysed(base, process("a"), channels=channels, corrections=[shift], out="turned")
    pt = (events["PuppiMET_pt"].astype("f8") + 5.0).astype("f4")
    phi = (events["PuppiMET_phi"].astype("f8") + 0.25).astype("f4")
    gen = np.asarray(events["genWeight"], dtype="f8")
    expected = small.filled(pt + 100 * phi, gen, both["binning"]) / gen.sum()
    got = result.histograms.slice("all", "met", "a", "turned_up").values(flow=True)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=2.1 / 300)
    shift["target"] = [MET]
    with pytest.raises(FunctionError, match="'turned' has 1 targets, but 2 factors"):
        analysed(base, process("a"), channels=channels, corrections=[shift], out="turned")


@pytest.mark.parametrize(
    ("correction", "said"),
    [
        (weight(1.0, processes=["c"]), r"weight_1.0.processes: no process 'c'"),
        (weight(1.0, datasets=["c"]), r"weight_1.0.datasets: no dataset 'c'"),
        (weight(1.0, years=["2020"]), r"weight_1.0.years: no year '2020'"),
        (weight(1.0, channels=["al"]), r"weight_1.0.channels: no channel 'al'"),
        (jes("Jet", channels=["all"]), r"channels: objects are the same in all channels"),
        (jes("Jet", source={"channels": ["all"]}), r"channels: objects are the same"),
        (weight(1.0, channels=["all"], uncertainty_sources=[
            {"name": "w", "up_function": len, "normalise": True}]), r"normalise: it holds in some"),
    ],
)  # fmt: skip
def test_names_that_are_not_there_are_refused(
    correction: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(small.config(corrections=[correction]))

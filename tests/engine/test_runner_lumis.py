"""The luminosity sections of runs over small files of data, with and without losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.lumi_tools import LumiMask

from intccms.analysis.runner import AnalysisResult, run
from intccms.datasets.sections import LumiSections
from intccms.execution.accounting import LumiBooks
from intccms.schema import load_config
from tests.engine import small
from tests.engine.conftest import make_events, write_file

RUN = 297050


def sections(text: str) -> LumiSections:
    return LumiSections.from_text(text)


def write_data(path: Path, of_events: list[int], listed: list[int] | None) -> Path:
    """Write events of these sections of one run, in this order, and the tree of sections."""
    events = make_events(len(of_events), seed=len(of_events))
    for column in ("genWeight", "Pileup_nTrueInt"):
        del events[column]
    events["run"] = np.full(len(of_events), RUN, dtype=np.uint32)
    events["luminosityBlock"] = np.array(of_events, dtype=np.uint32)
    write_file(path, events)
    if listed is not None:
        columns = {
            "run": np.full(len(listed), RUN, dtype=np.uint32),
            "luminosityBlock": np.array(listed, dtype=np.uint32),
        }
        with uproot.update(path) as file:
            file.mktree("LuminosityBlocks", {name: "uint32" for name in columns})
            if listed:
                file["LuminosityBlocks"].extend(columns)
    return path


def certified(run: Any, section: Any, *, lumifile: str) -> Any:
    return LumiMask(lumifile)(run, section)


def analysed(base: Path, lumifile: str | None = None, **general: Any) -> AnalysisResult:
    mask = {
        "function": certified,
        "use": [("event", "run"), ("event", "luminosityBlock")],
        "static_kwargs": {"lumifile": lumifile},
    }
    data = {
        "name": "data",
        "directories": "data/",
        "cross_sections": 1.0,
        "is_data": True,
        **({"lumi_mask": mask} if lumifile else {}),
    }
    settings = {
        "lumi": 1.0,
        "base_dir": str(base),
        "output_dir": str(base / "out"),
        "executor": "iterative",
        "chunk_size": 10,
        **general,
    }
    parts = small.config(general=settings, datasets={"datasets": [data]})
    return run(load_config(parts))


def lumis(result: AnalysisResult) -> LumiBooks:
    assert result.lumis is not None
    return result.lumis


def spoil(path: Path, branch: str, basket: int) -> None:
    """Make one basket of a branch unreadable; the file still opens."""
    with uproot.open(path) as file:
        members = file["Events"][branch].all_members
        begin, length = (int(members[name][basket]) for name in ("fBasketSeek", "fBasketBytes"))
    content = bytearray(path.read_bytes())
    content[begin : begin + length] = b"\xff" * length
    path.write_bytes(content)


def test_the_sections_of_a_run_are_certified_and_cover_empty_ones(tmp_path: Path) -> None:
    write_data(tmp_path / "data/0.root", [1] * 7 + [2] * 5 + [4] * 8, listed=[1, 2, 3, 4, 9])
    write_data(tmp_path / "data/1.root", [5] * 10, listed=[5, 6])
    ranges = {str(RUN): [[2, 5]], "999999": [[1, 50]]}
    (tmp_path / "golden.json").write_text(json.dumps(ranges))
    result = analysed(tmp_path, "golden.json")
    found = lumis(result)
    assert found.expected == found.processed == sections(f"{RUN}:2-5")
    assert result.ledger.datasets["data"].processed.chunks == 3
    steps = {step.name: step.n_events for step in result.cutflow["all"]["data"]}
    assert steps["lumi mask"] == 5 + 8 + 10


@pytest.fixture
def with_loss(tmp_path: Path) -> Path:
    """Three chunks, of which the middle one cannot be read; section 2 is in the first two."""
    path = tmp_path / "data/0.root"
    columns = {"run": "uint32", "luminosityBlock": "uint32", "PuppiMET_pt": "float32"}
    path.parent.mkdir()
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {**columns, "event": "uint64", "PuppiMET_phi": "float32"})
        for start, of_events in ((0, [1] * 8 + [2] * 2), (10, [2] * 5 + [3] * 5), (20, [4] * 10)):
            rows = np.arange(start, start + 10)
            tree.extend(
                {
                    "run": np.full(10, RUN, "u4"),
                    "luminosityBlock": np.array(of_events, "u4"),
                    "PuppiMET_pt": rows.astype("f4"),
                    "PuppiMET_phi": rows.astype("f4"),
                    "event": rows.astype("u8"),
                }
            )
        blocks = file.mktree("LuminosityBlocks", {"run": "uint32", "luminosityBlock": "uint32"})
        blocks.extend(
            {"run": np.full(5, RUN, "u4"), "luminosityBlock": np.arange(1, 6, dtype="u4")}
        )
    write_data(tmp_path / "data/1.root", [4] * 5 + [7] * 5, listed=[4, 7, 8])
    spoil(path, "PuppiMET_pt", basket=1)
    return tmp_path


def test_a_lost_chunk_takes_all_sections_of_its_file_with_it(with_loss: Path) -> None:
    result = analysed(with_loss, max_lost_fraction=1.0)
    assert [lost.entries for lost in result.ledger.lost_chunks] == [(10, 20)]
    found = lumis(result)
    assert found.expected == sections(f"{RUN}:1-5,7-8")
    assert found.processed == sections(f"{RUN}:7-8")
    by_run = found.to_dict()["missing_by_run"][str(RUN)]
    assert by_run == {"expected": 7, "missing": 5, "fraction": 5 / 7}


def test_data_that_were_resumed_have_their_sections(with_loss: Path) -> None:
    first = analysed(with_loss, max_lost_fraction=1.0)
    again = analysed(with_loss, max_lost_fraction=1.0)
    assert {receipt.status for receipt in again.reports} == {"resumed", "failed"}
    assert again.lumis == first.lumis


def test_chunks_do_not_matter_where_nothing_is_lost(tmp_path: Path) -> None:
    write_data(tmp_path / "data/0.root", [3, 1, 2, 1, 3, 3, 2, 1] * 5, listed=None)
    fine = lumis(analysed(tmp_path, chunk_size=3, output_dir=str(tmp_path / "a")))
    coarse = lumis(analysed(tmp_path, chunk_size=1000, output_dir=str(tmp_path / "b")))
    assert fine == coarse
    assert fine.processed == sections(f"{RUN}:1-3")
    assert fine.files_without_tree == 1
    assert fine.without_golden_json == ("data",)


def test_a_file_that_never_opened_is_unknown(tmp_path: Path) -> None:
    write_data(tmp_path / "data/0.root", [1] * 5, listed=[1, 2])
    (tmp_path / "data/1.root").write_bytes(b"")
    found = lumis(analysed(tmp_path, max_lost_fraction=1.0))
    assert found.processed == sections(f"{RUN}:1-2")
    assert found.files_of_unknown_sections == 1


def test_simulation_has_no_sections(tmp_path: Path) -> None:
    write_file(tmp_path / "mc/0.root", make_events(20, seed=1))
    general = {"base_dir": str(tmp_path), "output_dir": str(tmp_path / "out")}
    config = load_config(small.config(general={**general, "executor": "iterative"}))
    assert run(config).lumis is None

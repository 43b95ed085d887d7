from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import hist
import numpy as np
import pytest
import uproot

from intccms.errors import InputError
from intccms.histograms import Book, load, save
from intccms.histograms.storage import load_years, save_years


class Planted:
    """Makes a file when its pickle is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_the_book_is_read_back_equal(book: Book, tmp_path: Path) -> None:
    save(book, tmp_path / "histograms")
    again = load(tmp_path / "histograms")
    assert again == book
    axis = again.histograms["sr", "mtt"].axes[0]
    assert (axis.name, axis.label) == ("mtt", "$m_{t\\bar{t}}$ [GeV]")


def test_events_in_common_and_folded_bins_are_kept(book: Book, tmp_path: Path) -> None:
    shared = {"ttbar": {("sr", "cr"): 12}, "data": {("sr", "cr"): 3, ("sr", "vr"): 1}}
    more = replace(book, folded=frozenset({("sr", "mtt")}), overlaps=shared)
    root, _ = save(more, tmp_path)
    assert load(tmp_path).overlaps == shared
    assert load(tmp_path).histograms == book.histograms  # the flow bins too
    with uproot.open(root) as file:
        assert file["sr/mtt/ttbar/nominal"].values(flow=True).tolist() == [0.0, 12.0, 21.5, 0.0]


def test_no_bit_is_lost(book: Book, tmp_path: Path) -> None:
    view = book.histograms["sr", "mtt"].view(flow=True)
    n = view["value"].size
    odd = np.array([-0.0, 5e-324, 0.1, 1 / 3, 1e300, np.nextafter(1.0, 2.0)])
    view["value"] = np.resize(odd, n).reshape(view["value"].shape)
    view["variance"] = np.resize(odd[::-1], n).reshape(view["value"].shape)
    save(book, tmp_path)
    again = load(tmp_path).histograms["sr", "mtt"].view(flow=True)
    for part in ("value", "variance"):
        assert again[part].tobytes() == view[part].tobytes()


def test_root_paths_are_channel_observable_process_variation(book: Book, tmp_path: Path) -> None:
    root, _ = save(book, tmp_path)
    with uproot.open(root) as file:
        names = set(file.keys(cycle=False, filter_classname="TH1*"))
        assert names == {
            *(f"sr/mtt/ttbar/{name}" for name in book.variations("ttbar")),
            *(f"sr/mtt/wjets/{name}" for name in book.variations("wjets")),
            "sr/mtt/data/nominal",
        }
        stored = file["sr/mtt/ttbar/jes_up"]
        assert stored.values(flow=True).tolist() == [0.0, 22.5, 11.0, 10.5]
        assert stored.variances().tolist() == [0.25 * 25 + 400, 101.0]
        assert stored.member("fXaxis").member("fTitle") == "$m_{t\\bar{t}}$ [GeV]"


def test_the_json_needs_nothing_of_ours(book: Book, tmp_path: Path) -> None:
    _, path = save(book, tmp_path)
    (entry,) = json.loads(path.read_text())["histograms"]
    assert (entry["channel"], entry["observable"]) == ("sr", "mtt")
    assert hist.Hist(entry["uhi"]) == book.histograms["sr", "mtt"]


def test_a_pickle_that_somebody_has_put_there_is_not_loaded(book: Book, tmp_path: Path) -> None:
    save(book, tmp_path)
    (tmp_path / "histograms.pkl").write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    assert load(tmp_path) == book
    (tmp_path / "histograms.json").unlink()
    with pytest.raises(InputError, match=r"no histograms\.json"):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_same_book_gives_the_same_files(book: Book, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(book, tmp_path / name)
    for name in ("histograms.json", "histograms.pkl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_saving_again_replaces_all_files_and_leaves_no_scratch(book: Book, tmp_path: Path) -> None:
    save(book, tmp_path)
    save(book, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "histograms.json",
        "histograms.pkl",
        "histograms.root",
    ]


def test_years_are_read_back_and_those_of_before_are_gone(book: Book, tmp_path: Path) -> None:
    save_years({"2016": book, "2017": book}, tmp_path)
    save_years({"2017": book, "2018": book}, tmp_path)
    assert load_years(tmp_path) == {"2017": book, "2018": book}


def test_other_version_is_refused(book: Book, tmp_path: Path) -> None:
    _, path = save(book, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(InputError, match="version 99"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1, 2]", b'{"format": "x"}'])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "histograms.json").write_bytes(content)
    with pytest.raises(InputError, match="run the analysis again"):
        load(tmp_path)


@pytest.mark.parametrize("part", ["axes", "storage"])
def test_a_damaged_histogram_is_refused(book: Book, tmp_path: Path, part: str) -> None:
    _, path = save(book, tmp_path)
    content = json.loads(path.read_text())
    del content["histograms"][0]["uhi"][part]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is damaged"):
        load(tmp_path)


def test_histograms_of_another_kind_are_refused(book: Book, tmp_path: Path) -> None:
    _, path = save(book, tmp_path)
    content = json.loads(path.read_text())
    content["histograms"][0]["observable"] = "pt"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="has the axes"):
        load(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no histograms"):
        load(tmp_path)

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import uproot

from intccms.errors import InputError
from intccms.histograms import Book, load, load_root, save


def test_pickle_and_root_read_back_equal(book: Book, tmp_path: Path) -> None:
    root, _ = save(book, tmp_path / "histograms")
    assert load(tmp_path / "histograms") == book
    assert load_root(root) == book
    for again in (load(tmp_path / "histograms"), load_root(root)):
        axis = again.histograms["sr", "mtt"].axes[0]
        assert (axis.name, axis.label) == ("mtt", "$m_{t\\bar{t}}$ [GeV]")


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


def test_same_book_gives_the_same_pickle(book: Book, tmp_path: Path) -> None:
    _, first = save(book, tmp_path / "a")
    _, second = save(book, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_saving_again_replaces_both_files_and_leaves_no_scratch(book: Book, tmp_path: Path) -> None:
    save(book, tmp_path)
    save(book, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "histograms.pkl",
        "histograms.root",
    ]


def test_other_version_is_refused(book: Book, tmp_path: Path) -> None:
    _, path = save(book, tmp_path)
    content = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(content | {"version": 99}))
    with pytest.raises(InputError, match="version 99"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])])
def test_pickle_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "histograms.pkl").write_bytes(content)
    with pytest.raises(InputError, match="run the analysis again"):
        load(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no histograms"):
        load(tmp_path)
    with pytest.raises(InputError, match="no histograms"):
        load_root(tmp_path / "histograms.root")


def test_root_file_of_someone_else_is_refused(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as file:
        file["text"] = "hello"
    with pytest.raises(InputError, match="not written by intccms"):
        load_root(tmp_path / "other.root")

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.dataset_tools import DataGroupSpec

from intccms.datasets import DatasetFiles, Fileset
from intccms.datasets.contents import FileCount, FileFailure
from intccms.datasets.metadata import collect, load, save
from intccms.errors import InputError


class Serial:
    """Calls in order, as the iterative executor does."""

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any]
    ) -> Iterator[tuple[Any, Any]]:
        return ((item, function(item)) for item in items)


class Threads:
    """Yields in the order of completion."""

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any]
    ) -> Iterator[tuple[Any, Any]]:
        with ThreadPoolExecutor(2) as pool:
            futures = {pool.submit(function, item): item for item in items}
            for future in as_completed(futures):
                yield futures[future], future.result()


class Forgetful(Serial):
    """Loses the first item."""

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any]
    ) -> Iterator[tuple[Any, Any]]:
        return super().map(function, list(items)[1:])


def write_events(path: Path, n_events: int, tree: str = "Events") -> str:
    with uproot.recreate(path) as file:
        events = file.mktree(tree, {"run": "uint32"})
        if n_events:
            events.extend({"run": np.ones(n_events, "uint32")})
    return str(path)


@pytest.fixture
def fileset(tmp_path: Path) -> Fileset:
    """Two datasets: files of 100, 0 and 70 events, one of them missing; and one of 5."""
    first = [write_events(tmp_path / f"a{n}.root", n) for n in (100, 0, 70)]
    first.insert(1, str(tmp_path / "missing.root"))
    second = write_events(tmp_path / "b.root", 5)
    return Fileset(
        (
            DatasetFiles("ttbar_2016", "ttbar", "2016", False, 831.76, tuple(first)),
            DatasetFiles("data", "data", None, True, 1.0, (second,)),
        )
    )


def single(*lfns: str, dataset: str = "ttbar", **more: Any) -> Fileset:
    return Fileset((DatasetFiles(dataset, "ttbar", None, False, 1.0, lfns, **more),))


def test_files_and_failures_come_in_the_order_of_the_fileset(fileset: Fileset) -> None:
    metadata = collect(fileset, Threads(), chunk_size=50)
    names = fileset["ttbar_2016"].lfns
    assert [file.lfn for file in metadata.files_of("ttbar_2016")] == [names[0], *names[2:]]
    assert [file.n_events for file in metadata.files] == [100, 0, 70, 5]
    assert [failure.lfn for failure in metadata.failures] == [names[1]]
    assert metadata.failures_of("ttbar_2016")[0].error_type == "FileNotFoundError"
    assert metadata.failures_of("data") == ()
    assert (metadata.n_events("ttbar_2016"), metadata.n_events("data")) == (170, 5)


def test_the_plan_does_not_depend_on_the_executor(fileset: Fileset) -> None:
    plans = [collect(fileset, executor, chunk_size=50) for executor in (Serial(), Threads())]
    assert plans[0] == plans[1]


def test_work_items_cover_every_entry_once(fileset: Fileset) -> None:
    metadata = collect(fileset, Serial(), chunk_size=50)
    names = fileset["ttbar_2016"].lfns
    plan = [
        (item.filename, item.entrystart, item.entrystop, item.usermeta["file_index"])
        for item in metadata.work_items
    ]
    # 70 events are 1.4 chunks of 50, which is nearer to one; the empty file needs no work.
    assert plan == [
        (names[0], 0, 50, 0),
        (names[0], 50, 100, 0),
        (names[3], 0, 70, 3),
        (fileset["data"].lfns[0], 0, 5, 0),
    ]
    uuids = {file.lfn: file.uuid for file in metadata.files}
    assert all(item.fileuuid == uuids[item.filename] for item in metadata.work_items)
    assert {item.treename for item in metadata.work_items} == {"Events"}


@pytest.mark.parametrize(
    ("n_events", "chunk_size", "lengths"),
    [(100, 30, [34, 34, 32]), (75, 30, [38, 37]), (3, 100, [3]), (101, 2, [3] * 33 + [2])],
)
def test_ranges_are_cut_as_coffea_does(
    tmp_path: Path, n_events: int, chunk_size: int, lengths: list[int]
) -> None:
    lfn = write_events(tmp_path / "a.root", n_events)
    items = collect(single(lfn), Serial(), chunk_size=chunk_size).work_items
    assert [len(item) for item in items] == lengths


def test_every_file_is_reported_as_it_is_known(fileset: Fileset) -> None:
    seen: list[FileCount | FileFailure] = []
    metadata = collect(fileset, Serial(), chunk_size=50, on_file=seen.append)
    assert set(seen) == {*metadata.files, *metadata.failures}


def test_a_file_that_the_executor_forgets_is_a_failure(fileset: Fileset) -> None:
    metadata = collect(fileset, Forgetful(), chunk_size=50)
    assert [failure.error_type for failure in metadata.failures] == [
        "NoAnswer",
        "FileNotFoundError",
    ]


def test_a_dataset_without_a_readable_file_is_an_error(tmp_path: Path) -> None:
    fileset = single(str(tmp_path / "a.root"), str(tmp_path / "b.root"))
    text = "dataset 'ttbar': none of its 2 files can be read; first reason: FileNotFoundError: .*a"
    with pytest.raises(InputError, match=text) as caught:
        collect(fileset, Serial(), chunk_size=50)
    assert "\n" not in str(caught.value)


def test_a_tree_that_every_readable_file_lacks_is_an_error(tmp_path: Path) -> None:
    lfn = write_events(tmp_path / "a.root", 3, tree="events")
    fileset = single(str(tmp_path / "missing.root"), lfn)
    text = r"'ttbar': every readable file lacks the tree 'Events'; trees there: \['events'\]"
    with pytest.raises(InputError, match=text):
        collect(fileset, Serial(), chunk_size=50)


def test_a_tree_that_one_file_lacks_is_a_loss(tmp_path: Path) -> None:
    names = (write_events(tmp_path / "a.root", 3, "events"), write_events(tmp_path / "b.root", 3))
    metadata = collect(single(*names), Serial(), chunk_size=50)
    assert [failure.error_type for failure in metadata.failures] == ["NoSuchTree"]
    assert metadata.n_events("ttbar") == 3


def test_a_dataset_of_empty_files_has_no_work(tmp_path: Path) -> None:
    metadata = collect(single(write_events(tmp_path / "a.root", 0)), Serial(), chunk_size=50)
    assert (len(metadata.files), metadata.work_items) == (1, ())


def test_copies_of_a_file_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = write_events(tmp_path / "a.root", 3)
    second = shutil.copy(first, tmp_path / "b.root")
    with caplog.at_level(logging.WARNING):
        collect(single(first, str(second)), Serial(), chunk_size=50)
    assert f"{first} (ttbar) and {second} (ttbar)" in caplog.text


def test_metadata_survives_pickling(fileset: Fileset) -> None:
    metadata = collect(fileset, Serial(), chunk_size=50)
    assert pickle.loads(pickle.dumps(metadata)) == metadata


def test_what_is_saved_is_read_back_equal(fileset: Fileset, tmp_path: Path) -> None:
    metadata = collect(fileset, Serial(), chunk_size=50)
    save(metadata, tmp_path / "metadata")
    found = load(tmp_path / "metadata", fileset)
    assert found == metadata
    assert [item.usermeta for item in found.work_items] == [
        item.usermeta for item in metadata.work_items
    ]


def test_sections_of_data_are_saved(tmp_path: Path) -> None:
    path = write_events(tmp_path / "a.root", 5)
    with uproot.update(path) as file:
        sections = {"run": np.array([7, 7], "u4"), "luminosityBlock": np.array([1, 2], "u4")}
        file.mktree("LuminosityBlocks", sections)
        file["LuminosityBlocks"].extend(sections)
    data = Fileset((DatasetFiles("data", "data", None, True, 1.0, (path,)),))
    metadata = collect(data, Serial(), chunk_size=5)
    assert metadata.files[0].sections == "7:1-2"
    save(metadata, tmp_path)
    assert load(tmp_path, data) == metadata


def test_saved_files_can_be_cut_anew(fileset: Fileset, tmp_path: Path) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    assert load(tmp_path, fileset, chunk_size=10) == collect(fileset, Serial(), chunk_size=10)


def test_the_saved_fileset_loads_with_coffea(fileset: Fileset, tmp_path: Path) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    group = DataGroupSpec(json.loads((tmp_path / "fileset.json").read_text()))
    assert group["data"].num_entries == 5
    names = fileset["ttbar_2016"].lfns
    files = group["ttbar_2016"].files
    assert files[names[0]].steps == [[0, 50], [50, 100]]
    assert files[names[2]].num_entries == 0
    assert files[names[1]].num_entries is None  # could not be opened
    assert group["ttbar_2016"].metadata == {
        "process": "ttbar",
        "year": "2016",
        "is_data": False,
        "xsec_pb": 831.76,
    }


def test_the_saved_fileset_names_what_can_be_opened(tmp_path: Path) -> None:
    write_events(tmp_path / "a.root", 3)
    shutil.copytree(tmp_path, tmp_path / "cache" / "store")
    fileset = single("/store/a.root", redirectors=("/nowhere", f"{tmp_path}/cache"))
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    (group,) = DataGroupSpec(json.loads((tmp_path / "fileset.json").read_text())).values()
    ((pfn, spec),) = group.files.items()
    assert (pfn, spec.lfn) == (f"{tmp_path}/cache/store/a.root", "/store/a.root")


def test_the_saved_counts_are_summed(fileset: Fileset, tmp_path: Path) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    saved = json.loads((tmp_path / "nanoaods.json").read_text())
    assert saved["ttbar_2016"]["nevts_total"] == 170
    assert [file["nevts"] for file in saved["ttbar_2016"]["files"]] == [100, 0, 70]


def test_saved_files_that_are_not_asked_for_are_left_out(fileset: Fileset, tmp_path: Path) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    found = load(tmp_path, single(fileset["ttbar_2016"].lfns[3], dataset="ttbar_2016"))
    assert [file.n_events for file in found.files] == [70]
    assert [item.usermeta for item in found.work_items] == [{"file_index": 0, "chunk": 0}]


def test_a_redirector_may_change_after_saving(tmp_path: Path) -> None:
    write_events(tmp_path / "a.root", 3)
    shutil.copytree(tmp_path, tmp_path / "cache" / "store")
    before = single("/store/a.root", redirectors=(f"{tmp_path}/cache",))
    save(collect(before, Serial(), chunk_size=50), tmp_path)
    after = single("/store/a.root", redirectors=("root://xcache/",))
    assert load(tmp_path, after).n_events("ttbar") == 3


def test_a_listed_file_that_was_not_saved_asks_for_metadata(
    fileset: Fileset, tmp_path: Path
) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    text = "lacks 1 of 1 files of dataset 'data', the first is /store/new.root; run once with "
    with pytest.raises(InputError, match=text + "general.run_metadata_generation=True"):
        load(tmp_path, single("/store/new.root", dataset="data"))


def test_another_tree_asks_for_metadata(fileset: Fileset, tmp_path: Path) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    asked = single(*fileset["data"].lfns, dataset="data", tree_name="Friends")
    with pytest.raises(InputError, match="tree 'Events' of dataset 'data', not 'Friends'"):
        load(tmp_path, asked)


def test_missing_metadata_asks_for_it(fileset: Fileset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nanoaods.json; run once with general.run_metadata"):
        load(tmp_path / "nowhere", fileset)


@pytest.mark.parametrize("name", ["nanoaods.json", "workitems.json"])
@pytest.mark.parametrize("content", ['{"cut', "[1]", '{"data": {}}', "null"])
def test_damaged_metadata_asks_for_it(
    fileset: Fileset, tmp_path: Path, name: str, content: str
) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name}.*; run once with general.run_metadata") as caught:
        load(tmp_path, fileset)
    assert "\n" not in str(caught.value)


def test_work_items_that_miss_events_ask_for_metadata(fileset: Fileset, tmp_path: Path) -> None:
    save(collect(fileset, Serial(), chunk_size=50), tmp_path)
    items = json.loads((tmp_path / "workitems.json").read_text())
    (tmp_path / "workitems.json").write_text(json.dumps(items[1:]))
    with pytest.raises(InputError, match="plans 50 of the 100 events of"):
        load(tmp_path, fileset)


def test_broken_real_files_stop_nothing(shared_data: Path, tmp_path: Path) -> None:
    twin = "truncated_tail_256.root"  # of the file that corrupt_basket_Muon_pt.root was
    names = sorted(
        str(path) for path in (shared_data / "broken").glob("*.root") if path.name != twin
    )
    good = str(shared_data / "nano" / "nano_tree.root")
    fileset = single(*names, good)
    metadata = collect(fileset, Serial(), chunk_size=50)
    assert len(metadata.files) + len(metadata.failures) == len(names) + 1
    assert {Path(failure.lfn).name for failure in metadata.failures} == {
        "bad_magic.root",
        "events_is_a_histogram.root",
        "header_only_100B.root",
        "not_root_html.root",
        "truncated_50pct.root",
        "truncated_60pct_rntuple.root",
        "wrong_tree_name.root",
        "zero_length.root",
    }
    save(metadata, tmp_path)
    assert load(tmp_path, fileset) == metadata
    DataGroupSpec(json.loads((tmp_path / "fileset.json").read_text()))

"""A file under several names is read once; two files that claim to be one are an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import uproot

from intccms.datasets import DatasetFiles, Fileset
from intccms.datasets.contents import FileCount, FileQuery, count
from intccms.datasets.metadata import without_twins
from intccms.errors import InputError

Write = Callable[..., Path]


def found(*datasets: DatasetFiles) -> tuple[list[str], list[tuple[str, str]]]:
    """Give the files that are read, and of each twin its name and that of its first."""
    counts = []
    for files in datasets:
        for lfn in files.lfns:
            one = count(FileQuery(files.dataset, lfn, files.pfns(lfn), "Events"))
            assert isinstance(one, FileCount)
            counts.append(one)
    kept, twins = without_twins(Fileset(datasets), counts)
    names = [(Path(twin.file.lfn).name, Path(twin.same_as).name) for twin in twins]
    return [Path(one.lfn).name for one in kept], names


def dataset(name: str, *lfns: object, process: str = "mc", **more: object) -> DatasetFiles:
    about = {"year": None, "is_data": False, "xsec_pb": 1.0, **more}
    return DatasetFiles(name, process, lfns=tuple(map(str, lfns)), **about)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path, write_nano: Write) -> Path:
    return write_nano(tmp_path / "a.root")


@pytest.fixture
def copy(file: Path) -> Path:
    return Path(shutil.copyfile(file, file.with_name("b.root")))


def test_copy_link_and_url_of_a_file_are_read_once(
    tmp_path: Path, file: Path, copy: Path, write_nano: Write
) -> None:
    link = tmp_path / "c.root"
    link.symlink_to(file)
    other = write_nano(tmp_path / "d.root")
    kept, twins = found(dataset("mc", file, copy, other, link, file.as_uri()))
    assert kept == ["a.root", "d.root"]
    assert twins == [("b.root", "a.root"), ("c.root", "a.root"), ("a.root", "a.root")]


def test_data_count_once_in_whatever_dataset(file: Path, copy: Path) -> None:
    one = dataset("muons", file, process="muons", is_data=True)
    other = dataset("electrons", copy, process="electrons", is_data=True)
    assert found(one, other) == (["a.root"], [("b.root", "a.root")])


def test_a_copy_in_another_directory_of_a_process_is_read_once(
    tmp_path: Path, file: Path, copy: Path, write_nano: Write
) -> None:
    other = write_nano(tmp_path / "d.root")
    assert found(dataset("mc_a", file), dataset("mc_b", copy, other))[0] == ["a.root", "d.root"]


def test_simulation_of_two_years_stands_for_both(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept, twins = found(dataset("mc_1", file, year="2016"), dataset("mc_2", file, year="2017"))
    assert (kept, twins) == (["a.root", "a.root"], [])
    assert not caplog.messages  # it is the same listing, as somebody wanted


def test_a_dataset_of_which_nothing_is_left_is_refused(file: Path, copy: Path) -> None:
    with pytest.raises(InputError, match=r"'mc_b'.*b\.root is .*a\.root of 'mc_a'"):
        found(dataset("mc_a", file), dataset("mc_b", copy))


def test_a_file_of_two_processes_is_refused(file: Path, copy: Path) -> None:
    with pytest.raises(InputError, match=r"a\.root \(top\) and .*b\.root \(wjets\)"):
        found(dataset("top", file, process="top"), dataset("wjets", copy, process="wjets"))


def test_datasets_that_both_select_share_a_file(file: Path, copy: Path) -> None:
    light = dataset("light", file, process="light", has_selection=True)
    heavy = dataset("heavy", copy, process="heavy", has_selection=True)
    assert found(light, heavy) == (["a.root", "b.root"], [])
    with pytest.raises(InputError, match="or give each of these datasets its 'selection'"):
        found(light, dataset("all", copy, process="all"))


def test_two_different_files_with_one_uuid_are_named(file: Path, copy: Path) -> None:
    with uproot.update(copy) as changed:
        changed.mktree("More", {"x": "f4"})
    with pytest.raises(InputError, match=r"one uuid: .*a\.root \(mc\) and .*b\.root \(mc\)"):
        found(dataset("mc", file, copy))

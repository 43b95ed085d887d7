from __future__ import annotations

import pickle

import pytest

from intccms.datasets import DatasetFiles, Fileset, file_format


def dataset(key: str = "ttbar_2016", **more: object) -> DatasetFiles:
    fields = {"process": "ttbar", "year": "2016", "is_data": False, "xsec_pb": 831.76}
    return DatasetFiles(key, **{**fields, "lfns": ("/store/a.root",), **more})


@pytest.mark.parametrize(
    ("redirector", "pfn"),
    [
        ("root://xcache/", "root://xcache//store/a.root"),
        ("root://xcache", "root://xcache//store/a.root"),
        ("root://xcache//", "root://xcache//store/a.root"),
        ("root://host:1094/", "root://host:1094//store/a.root"),
        ("root://host//eos/cms", "root://host//eos/cms/store/a.root"),
        ("https://host:8443", "https://host:8443/store/a.root"),
        ("/mnt/cache", "/mnt/cache/store/a.root"),
    ],
)
def test_a_redirector_is_put_before_store_names(redirector: str, pfn: str) -> None:
    assert dataset(redirectors=(redirector,)).pfns("/store/a.root") == (pfn,)


@pytest.mark.parametrize(
    "name", ["/eos/store/a.root", "root://other//store/a.root", "/storeroom/a.root", "file:///a"]
)
def test_nothing_is_put_before_any_other_name(name: str) -> None:
    assert dataset(redirectors=("root://xcache/",)).pfns(name) == (name,)


def test_several_redirectors_keep_their_order() -> None:
    pfns = dataset(redirectors=("root://b/", "root://a/")).pfns("/store/a.root")
    assert pfns == ("root://b//store/a.root", "root://a//store/a.root")


def test_without_a_redirector_the_name_is_opened_as_it_stands() -> None:
    assert dataset().pfns("/store/a.root") == ("/store/a.root",)


def test_a_fileset_is_looked_up_by_key_and_iterates_over_datasets() -> None:
    first, second = dataset(), dataset("ttbar_2017", lfns=("/b.root", "/c.root"))
    fileset = Fileset((first, second))
    assert fileset["ttbar_2017"] is second
    assert list(fileset) == [first, second]
    assert fileset.keys() == ("ttbar_2016", "ttbar_2017")
    assert fileset.processes == ("ttbar",)
    assert (len(fileset), fileset.n_files) == (2, 3)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'ttbar_2016'"):
        Fileset((dataset(),))["ttbar_2015"]


def test_a_fileset_survives_pickling() -> None:
    fileset = Fileset((dataset(),))
    assert pickle.loads(pickle.dumps(fileset)) == fileset


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/store/a.root", "root"),
        ("root://x//store/a.root?token=b.c", "root"),
        ("a.parquet.root", "root"),
        ("a.root.parquet", "parquet"),
        ("s3://bucket/dir.root/part_0.parquet", "parquet"),
        ("x.pq", "parquet"),
        ("no_suffix", "root"),
    ],
)
def test_the_last_suffix_tells_the_format(name: str, expected: str) -> None:
    assert file_format(name) == expected

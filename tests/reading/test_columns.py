from __future__ import annotations

import time
from collections.abc import Sequence

import awkward as ak
import numpy as np
import pytest
from awkward.contents import Content, ListOffsetArray, NumpyArray
from awkward.index import Index64

from intccms.reading.columns import Columns, History, ReadMeter

N = 6


class Reader:
    """Gives columns of ten times the entry number, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, names: Sequence[str], empty: bool) -> dict[str, Content]:
        self.asked.append([*names, *(["(none)"] if empty else [])])
        return {name: NumpyArray(10 * np.arange(0 if empty else N)) for name in names}


def columns(reader: Reader, *histories: History) -> Columns:
    return Columns(reader, N, ReadMeter(), histories)


def values(content: Content) -> list[int]:
    return [int(value) for value in np.asarray(ak.Array(content))]


def test_the_first_chunk_reads_column_by_column() -> None:
    reader, histories = Reader(), (History(), History())
    chunk = columns(reader, *histories)
    for name in ("a", "b", "a"):
        chunk.read(name)
    assert reader.asked == [["a"], ["b"]]


def test_later_chunks_read_at_once_what_was_read_together() -> None:
    reader, histories = Reader(), (History(), History())
    for _ in range(3):
        chunk = columns(reader, *histories)
        for name in ("a", "b", "c"):
            chunk.read(name)
    assert reader.asked == [["a"], ["b"], ["c"], ["a", "b", "c"], ["a", "b", "c"]]


def test_what_is_read_after_the_cut_is_another_request() -> None:
    reader, histories = Reader(), (History(), History())
    for _ in range(3):
        chunk = columns(reader, *histories)
        chunk.read("a")
        kept = chunk.take(np.array([1, 4]))
        kept.read("b")
        assert values(kept.read("c")) == [10, 40]
    assert reader.asked == [["a"], ["b"], ["c"], *(2 * [["a"], ["b", "c"]])]


def test_what_few_chunks_read_is_not_read_for_all() -> None:
    reader, histories = Reader(), (History(), History())
    for names in ("abc", "a", "a"):
        chunk = columns(reader, *histories)
        for name in names:
            chunk.read(name)
    assert reader.asked[3:] == [["a", "b", "c"], ["a"]]


def test_a_column_that_nobody_has_foreseen_is_read_alone() -> None:
    reader, histories = Reader(), (History(), History())
    for names in ("ab", "az"):
        chunk = columns(reader, *histories)
        for name in names:
            chunk.read(name)
    assert reader.asked[2:] == [["a", "b"], ["z"]]


def test_a_foreseen_column_that_is_damaged_does_no_harm() -> None:
    class Damaged(Reader):
        def __call__(self, names: Sequence[str], empty: bool) -> dict[str, Content]:
            if "b" in names and len(self.asked) > 1:
                raise ValueError("while decompressing")
            return super().__call__(names, empty)

    reader, histories = Damaged(), (History(), History())
    for names in ("ab", "a"):
        chunk = columns(reader, *histories)
        for name in names:
            chunk.read(name)
    assert reader.asked == [["a"], ["b"], ["a"]]
    with pytest.raises(ValueError, match="decompressing"):
        chunk.read("b")


def test_only_so_many_chunks_are_remembered() -> None:
    history = History(2)
    for names in ({"a", "b"}, {"a"}, {"c"}):
        history.begin().update(names)
    assert history.together("a") == {"a"}
    assert history.together("b") == {"b"}


def test_a_chunk_without_events_is_not_remembered() -> None:
    reader, histories = Reader(), (History(), History())
    chunk = columns(reader, *histories)
    for name in ("a", "b"):
        chunk.read(name)
    none = columns(reader, *histories).take(np.arange(0))
    none.read("a")
    assert reader.asked[-1] == ["a", "(none)"]


def test_what_is_left_after_the_first_cut_can_be_kept() -> None:
    reader = Reader()
    chunk = columns(reader)
    chunk.read("a")
    assert chunk.kept is None
    skimmed = chunk.take(np.array([1, 2, 5]))
    certified = skimmed.take(np.array([0, 2]))
    assert values(certified.read("b")) == [10, 50]
    kept = chunk.kept
    assert kept is skimmed
    assert list(kept.index) == [1, 2, 5]
    assert {name: values(one) for name, one in kept.collected().items()} == {
        "a": [10, 20, 50],
        "b": [10, 20, 50],
    }


def test_a_cut_that_all_events_pass_is_a_cut() -> None:
    chunk = columns(Reader())
    assert chunk.take(np.arange(N)) is chunk
    certified = chunk.take(np.array([2]))
    assert values(certified.read("a")) == [20]
    assert chunk.kept is chunk
    assert list(chunk.index) == list(range(N))
    assert len(chunk.collected()["a"]) == N


def test_jagged_columns_are_cut_to_plain_arrays() -> None:
    offsets = Index64(np.array([0, 2, 2, 5, 6, 6, 8]))
    jagged = ListOffsetArray(offsets, NumpyArray(np.arange(8)))
    chunk = Columns(lambda names, empty: dict.fromkeys(names, jagged), N, ReadMeter())
    cut = chunk.take(np.array([2, 5])).read("x")
    assert isinstance(cut, ListOffsetArray)
    assert list(cut.offsets.data) == [0, 3, 5]
    assert values(cut.content) == [2, 3, 4, 6, 7]


def test_the_time_of_a_column_counts_once_however_many_cuts_it_comes_through() -> None:
    class Slow(Reader):
        def __call__(self, names: Sequence[str], empty: bool) -> dict[str, Content]:
            time.sleep(0.05)
            return super().__call__(names, empty)

    chunk = columns(Slow())
    begin = time.perf_counter()
    twice_cut = chunk.take(np.array([1, 2, 4])).take(np.array([0, 2]))
    assert values(twice_cut.read("a")) == [10, 40]
    assert 0.05 <= chunk.meter.read_s <= time.perf_counter() - begin


def test_opening_a_file_in_the_middle_of_reading_is_not_reading() -> None:
    meter, reader = ReadMeter(), Reader()

    def opens_first(names: Sequence[str], empty: bool) -> dict[str, Content]:
        time.sleep(0.05)
        meter.open_s += 0.05
        return reader(names, empty)

    begin = time.perf_counter()
    Columns(opens_first, N, meter).read("a")
    assert meter.open_s + meter.read_s <= time.perf_counter() - begin

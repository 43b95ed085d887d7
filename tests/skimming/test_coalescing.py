"""Which parts go into one file."""

from __future__ import annotations

from intccms.skimming.manifest import groups, laid_out
from tests.skimming.conftest import part


def test_a_file_is_closed_once_it_has_enough_events() -> None:
    parts = [part(n, n_out=n_out, path=f"{n}") for n, n_out in enumerate([3, 4, 10, 1, 2])]
    assert [[one.chunk for one in group] for group in groups(parts, 6)] == [[0, 1], [2], [3, 4]]


def test_parts_keep_the_order_of_entries() -> None:
    parts = [part(n, n_out=5, path=f"{n}") for n in (2, 0, 1)]
    (group,) = groups(parts, 100)
    assert [one.chunk for one in group] == [0, 1, 2]


def test_each_chunk_has_its_rows_in_the_file_of_the_first() -> None:
    placed = laid_out([part(n, n_out=n + 2, path=f"{n}") for n in range(3)])
    assert [(one.path, one.rows) for one in placed] == [("0", (0, 2)), ("0", (2, 5)), ("0", (5, 9))]


def test_nothing_gives_no_files() -> None:
    assert list(groups([], 10)) == []

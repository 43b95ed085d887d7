from __future__ import annotations

from intccms.execution.accounting import WAITING, Totals, merged


def test_merging_leaves_what_is_merged_alone() -> None:
    parts = [{"n": 1, "files": {str(i): {"n": 1}}} for i in range(3)]
    total = merged(parts)
    assert total == {"n": 3, "files": {str(i): {"n": 1} for i in range(3)}}
    total["files"]["0"]["n"] = 7
    assert parts[0]["files"]["0"] == {"n": 1}


def test_totals_are_by_group_however_many_come() -> None:
    for n in (1, WAITING - 1, WAITING, 3 * WAITING + 1):
        totals = Totals(lambda item: item[0])
        for i in range(n):
            totals.take("even" if i % 2 == 0 else "odd", {"items": (i,), "n": 1})
        sums = totals.by_group
        assert sums["even"] == {"items": tuple(range(0, n, 2)), "n": (n + 1) // 2}
        assert sums.get("odd", {"n": 0})["n"] == n // 2
        assert totals.by_group == sums  # asked twice, nothing counts twice

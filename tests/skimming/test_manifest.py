"""A manifest knows what a skim holds, what it lacks and whether it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from intccms.errors import InputError
from intccms.skimming import SkimManifest, SkimPart
from intccms.skimming.manifest import selected_parts
from tests.skimming.conftest import part

LFNS = ["/store/mc/0.root", "/store/mc/1.root"]


def listed(index: int, chunk: int, **changes: Any) -> SkimPart:
    about = {"path": f"{index}/{chunk}", "columns": ("Muon_pt", "run"), "n_out": 9}
    about |= {"file_index": index, "source": LFNS[index], "uuid": f"u{index}"}
    return part(chunk, **about | changes)


def manifest(*parts: SkimPart) -> SkimManifest:
    return SkimManifest.of(parts, file_format="parquet", tree_name="Events")


COMPLETE = [listed(index, chunk) for index in (0, 1) for chunk in (0, 1, 2)]


def check(one: SkimManifest, **changes: Any) -> None:
    asked = {"fingerprint": "selection", "file_format": "parquet", "lfns": LFNS}
    one.check(**asked | {"columns": ("Muon_pt",)} | changes)


def test_a_complete_skim_passes() -> None:
    check(manifest(*COMPLETE))


def test_fewer_files_than_were_skimmed_can_be_asked_for() -> None:
    check(manifest(*COMPLETE), lfns=LFNS[:1])


def test_parts_are_in_the_order_of_files_and_entries() -> None:
    assert manifest(*reversed(COMPLETE)).parts == tuple(COMPLETE)


def test_json_gives_it_back() -> None:
    one = manifest(*COMPLETE)
    assert SkimManifest.from_json(one.to_json()) == one


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"parts": []}', '{"parts": [1]}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=".+"):
        SkimManifest.from_json(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fingerprint": "other"}, "was made with another selection"),
        ({"file_format": "ttree"}, "is in parquet, but .*output.format is ttree"),
        ({"lfns": [LFNS[1], LFNS[0]]}, r"its file 0 was /store/mc/0.root and is /store/mc/1.root"),
        ({"columns": ("Muon_ptt",)}, r"lacks the branch 'Muon_ptt'; did you mean 'Muon_pt'\?"),
        ({"lfns": [*LFNS, "/store/mc/2.root"]}, r"lacks entries 0 to its end of file 2"),
    ],
)
def test_a_skim_that_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        check(manifest(*COMPLETE), **changes)
    assert "the skim of ttbar_2017" in str(refused.value)
    assert "general.run_skimming=True" in str(refused.value)


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        (0, r"lacks entries 0 to 100 of file 0 \(/store/mc/0.root\)"),
        (1, "lacks entries 100 to 200 of file 0"),
        (5, "lacks entries 200 to 300 of file 1"),
    ],
)
def test_an_incomplete_skim_is_refused(left_out: int, words: str) -> None:
    parts = [one for i, one in enumerate(COMPLETE) if i != left_out]
    with pytest.raises(InputError, match=words):
        check(manifest(*parts))


def test_a_file_without_events_has_one_part_of_none() -> None:
    none = listed(1, 0, entry_start=0, entry_stop=0, n_in=0, n_out=0, path="", source_events=0)
    check(manifest(*COMPLETE[:3], none))


def test_only_branches_of_all_files_count() -> None:
    parts = [*COMPLETE[:-1], replace(COMPLETE[-1], columns=("Muon_pt",))]
    assert manifest(*parts).columns == ("Muon_pt",)


def test_a_skim_of_which_nothing_was_kept_lacks_no_branch() -> None:
    check(manifest(*(replace(one, path="", columns=()) for one in COMPLETE)))


def test_parts_of_different_skims_are_no_manifest() -> None:
    with pytest.raises(ValueError, match="one skim"):
        manifest(COMPLETE[0], listed(1, 0, fingerprint="other"))


def test_the_whole_chunk_is_taken_rather_than_its_halves() -> None:
    whole = listed(0, 0)
    halves = [
        listed(0, 0, entry_start=start, entry_stop=start + 50, piece=str(start), n_in=50)
        for start in (0, 50)
    ]
    assert selected_parts([[halves[0]], [whole], [halves[1]]]) == [whole]
    assert selected_parts([[halves[1]], [halves[0]]]) == [halves[1], halves[0]]


def test_of_a_source_that_was_replaced_only_one_is_taken() -> None:
    old = [listed(0, chunk, uuid="old") for chunk in (0, 1)]
    assert selected_parts([[old[0]], [old[1]], [listed(0, 2)]]) == old


def test_a_record_is_plain_data() -> None:
    one = listed(0, 1, rows=(3, 12))
    assert SkimPart.from_json(one.to_json()) == one
    with pytest.raises(ValueError, match="not the record of a part"):
        SkimPart.from_json({"dataset": "x"})

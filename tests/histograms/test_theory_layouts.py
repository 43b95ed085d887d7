"""Members told by titles as NanoAOD writes them, and by length where there is none."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
import uproot

from intccms.histograms.theory import Kind, Layout, layout_of

POWHEG = "LHE scale variation weights (w_var / w_nominal); " + " ; ".join(
    f"[{i}] is renscfact={r}d0 facscfact={f}d0"
    for i, (r, f) in enumerate((r, f) for r in ("0.5", "1", "2") for f in ("0.5", "1", "2"))
)
MADGRAPH = "LHE scale variation weights (w_var / w_nominal); " + "; ".join(
    f'[{i}] is MUF="{f}" MUR="{r}"'
    for i, (r, f) in enumerate(
        (r, f)
        for r in ("0.5", "1.0", "2.0")
        for f in ("0.5", "1.0", "2.0")
        if (r, f) != ("1.0", "1.0")
    )
)
NAMES = ("0.5,0.5", "0.5,1", "1,0.5", "1,2", "2,1", "2,2")
PDF = "LHE pdf variation weights (w_var / w_nominal) for LHA IDs {} - {}"


def positions(layout: Layout | None) -> tuple[int, ...] | None:
    return None if layout is None else layout.positions


@pytest.mark.parametrize(
    ("title", "n", "expected"),
    [
        (POWHEG, 9, (0, 1, 3, 5, 7, 8)),
        (MADGRAPH, 8, (0, 1, 3, 4, 6, 7)),
        ("", 9, (0, 1, 3, 5, 7, 8)),
        ("", 8, (0, 1, 3, 4, 6, 7)),
        ("", 44, (0, 5, 15, 24, 34, 39)),
        (POWHEG, 18, (0, 1, 3, 5, 7, 8)),
        (POWHEG, 8, None),
        (POWHEG, 0, None),
        ("", 0, None),
        ("", 18, None),
        ("", 3, None),
    ],
)
def test_the_envelope_has_six_scales_besides_the_central_one(
    title: str, n: int, expected: tuple[int, ...] | None
) -> None:
    layout = layout_of("scale", title, n)
    assert positions(layout) == expected
    assert layout is None or (layout.group, layout.members) == ("scales", NAMES)


def test_an_order_that_the_title_tells_counts() -> None:
    title = "; ".join(
        f"[{i}] is mur={r} muf={f}"
        for i, (r, f) in enumerate(
            [(2, 2), (2, 1), (1, 2), (1, 1), (1, 0.5), (0.5, 1), (0.5, 0.5), (2, 0.5), (0.5, 2)]
        )
    )
    assert positions(layout_of("scale", title, 9)) == (6, 5, 4, 2, 1, 0)


def test_weights_of_other_dynamical_scales_are_no_members() -> None:
    title = ""
    points = [(r, f) for r in (0.5, 1.0, 2.0) for f in (0.5, 1.0, 2.0)]
    entries = [
        f'MUF="{f}" MUR="{r}"' + (f' DYN_SCALE="{dyn}"' if dyn else "")
        for r, f in points
        for dyn in range(5)
        if (r, f, dyn) != (1.0, 1.0, 0)
    ]
    title = "; ".join(f"[{i}] is {entry}" for i, entry in enumerate(entries))
    assert len(entries) == 44
    assert positions(layout_of("scale", title, 44)) == (0, 5, 15, 24, 34, 39)
    assert positions(layout_of("scale", "", 44)) == (0, 5, 15, 24, 34, 39)


@pytest.mark.parametrize(
    ("title", "n", "isr", "fsr"),
    [
        ("PS weights (w_var / w_nominal);   [0] is ISR=2 FSR=1; [1] is ISR=1 FSR=2"
         "[2] is ISR=0.5 FSR=1; [3] is ISR=1 FSR=0.5;", 4, (0, 2), (1, 3)),
        ("", 4, (0, 2), (1, 3)),
        ("PS weights (w_var / w_nominal) [0] isr.murfac=2.0; [1] fsr.murfac=2.0; "
         "[2] isr.murfac=0.5; [3] fsr.murfac=0.5;", 4, (2, 0), (3, 1)),
        ("All PS weights (w_var / w_nominal)", 44, (4, 6), (5, 7)),
        ("All PS weights (w_var / w_nominal)", 46, (6, 8), (7, 9)),
        ("dummy PS weight (1.0) ", 1, None, None),
        ("", 0, None, None),
    ],
)  # fmt: skip
def test_up_is_more_radiation(
    title: str, n: int, isr: tuple[int, int] | None, fsr: tuple[int, int] | None
) -> None:
    assert positions(layout_of("isr", title, n)) == isr
    assert positions(layout_of("fsr", title, n)) == fsr


@pytest.mark.parametrize(
    ("title", "n", "group"),
    [
        (PDF.format(306000, 306102), 103, "LHA 306000-306102"),
        (PDF.format(91400, 91432), 33, "LHA 91400-91432"),
        (PDF.format(303600, 303700), 101, "LHA 303600-303700"),
        (PDF.format(260001, 260100), 100, "LHA 260001-260100"),
        (PDF.format(306000, 306102), 101, None),
        (PDF.format(999000, 999100), 101, None),
        (PDF.format(306000, 306102), 0, None),
        ("", 33, "LHA 90400-90432"),
        ("", 103, None),
        ("", 101, None),
        ("", 0, None),
    ],
)
def test_parton_densities_are_told_by_their_ids(title: str, n: int, group: str | None) -> None:
    layout = layout_of("pdf", title, n)
    assert (None if layout is None else layout.group) == group
    assert layout is None or layout.positions == tuple(range(n))


def test_members_of_a_range_without_the_central_one_have_their_own_numbers() -> None:
    layout = layout_of("pdf", PDF.format(260001, 260100), 100)
    assert layout is not None
    assert layout.members == tuple(str(i) for i in range(1, 101))


def test_an_id_that_is_given_decides_where_the_title_says_nothing() -> None:
    title = PDF.format(306000, 306102)
    for lha_id, said, group in (
        (325300, "", "LHA 325300-325402"),
        (292200, "", "LHA 292200-292302"),
        (292200, title, "LHA 306000-306102"),
    ):
        layout = layout_of("pdf", said, 103, lha_id)
        assert layout is not None
        assert layout.group == group
    assert layout_of("pdf", "", 120, 325300) is None
    other = layout_of("pdf", "", 33, 325300)
    assert other is not None
    assert other.group == "LHA 90400-90432"


def test_a_part_of_the_members_is_no_uncertainty() -> None:
    assert layout_of("pdf", PDF.format(306000, 306010), 11) is None
    assert layout_of("pdf", PDF.format(306002, 306102), 101) is None
    without_coupling = layout_of("pdf", PDF.format(306000, 306100), 101)
    assert without_coupling is not None


@pytest.mark.parametrize(
    ("name", "branch", "kind", "n", "group"),
    [
        ("nano_dy.root", "LHEPdfWeight", "pdf", 33, "LHA 91400-91432"),
        ("nano_tree.root", "LHEPdfWeight", "pdf", 101, "LHA 262000-262100"),
        ("missing_luminosityBlock.root", "LHEPdfWeight", "pdf", 103, "LHA 325300-325402"),
        ("nanoAOD_2015_CMS_Open_Data_ttbar.root", "LHEPdfWeight", "pdf", 102, "LHA 292201-292302"),
        ("nano_dy.root", "LHEScaleWeight", "scale", 9, "scales"),
        ("nano_tree.root", "LHEScaleWeight", "scale", 9, "scales"),
        ("NanoAODv5_sample.root", "LHEScaleWeight", "scale", 0, None),
        ("NanoAODv5_sample.root", "PSWeight", "isr", 4, "shower"),
        ("nano_tree.root", "PSWeight", "fsr", 1, None),
    ],
)
def test_titles_of_real_files_are_read(
    name: str, branch: str, kind: Kind, n: int, group: str | None, shared_data: Path
) -> None:
    with uproot.open(shared_data / "nano" / name) as file:
        found = file["Events"][branch]
        assert set(ak.num(found.array())) == {n}
        layout = layout_of(kind, found.title, n)
    assert (None if layout is None else layout.group) == group
    if kind == "scale" and layout is not None:
        assert layout.positions == (0, 1, 3, 5, 7, 8)

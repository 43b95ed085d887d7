"""The table of sets: no two hold the same id, and known ones are what their authors say."""

from __future__ import annotations

import pytest

from intccms.histograms.theory import pdf_set_of, pdf_sets


def test_no_id_is_in_two_sets() -> None:
    ids = [one.first_id + i for one in pdf_sets() for i in range(one.n_members)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("first", "last", "name", "error_type", "has_alpha_s"),
    [
        (306000, 306102, "NNPDF31_nnlo_hessian_pdfas", "symmhessian", True),
        (303600, 303700, "NNPDF31_nnlo_as_0118", "replicas", False),
        (292200, 292302, "NNPDF30_nlo_nf_5_pdfas", "replicas", True),
        (260001, 260100, "NNPDF30_nlo_as_0118", "replicas", False),
        (91400, 91432, "PDF4LHC15_nnlo_30_pdfas", "symmhessian", True),
        (13000, 13056, "CT14nnlo", "hessian", False),
    ],
)
def test_a_range_of_ids_names_its_set(
    first: int, last: int, name: str, error_type: str, has_alpha_s: bool
) -> None:
    found = pdf_set_of(first, last)
    assert found is not None
    assert (found.name, found.error_type, found.has_alpha_s) == (name, error_type, has_alpha_s)


def test_ids_beyond_a_set_are_unknown() -> None:
    assert pdf_set_of(306000, 306103) is None
    assert pdf_set_of(305999, 306102) is None

"""Sets of parton densities by their LHAPDF id: what their members are.

Ids and names are those of LHAPDF's ``pdfsets.index``
(https://www.lhapdf.org/pdfsets.html); the kind and the number of members are ``ErrorType`` and
``NumMembers`` of the set's ``.info`` file (https://lhapdfsets.web.cern.ch/current). A set whose
name ends in ``_pdfas`` has two members more, the central one with the strong coupling moved down
and up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PDF_SETS", "ErrorType", "PdfSet", "pdf_set_of"]

ErrorType = Literal["replicas", "symmhessian", "hessian"]


@dataclass(frozen=True)
class PdfSet:
    """One set.

    Parameters
    ----------
    first_id
        LHAPDF id of member 0, the central one; member `i` has ``first_id + i``.
    n_errors
        Members that follow the central one and span the uncertainty.
    error_type
        ``replicas``: a sample of the probability; ``symmhessian``: one member an eigenvector;
        ``hessian``: two, up and down.
    has_alpha_s
        Whether two members with another strong coupling come last.
    confidence
        Of the members: 0.68, or 0.90 for the sets of the CTEQ collaboration.
    """

    first_id: int
    name: str
    n_errors: int
    error_type: ErrorType
    has_alpha_s: bool = False
    confidence: float = 0.68

    @property
    def n_members(self) -> int:
        """All members."""
        return 1 + self.n_errors + 2 * self.has_alpha_s


def _with_alpha_s(first_id: int, name: str, n_errors: int, error_type: ErrorType) -> PdfSet:
    return PdfSet(first_id, name, n_errors, error_type, has_alpha_s=True)


_REPLICAS = {  # 100 each
    260000: "NNPDF30_nlo_as_0118",
    260400: "NNPDF30_nlo_as_0118_nf_4",
    260800: "NNPDF30_nlo_as_0118_mc",
    261000: "NNPDF30_nnlo_as_0118",
    261400: "NNPDF30_nnlo_as_0118_nf_4",
    261800: "NNPDF30_nnlo_as_0118_mc",
    262000: "NNPDF30_lo_as_0118",
    262400: "NNPDF30_lo_as_0118_nf_4",
    263000: "NNPDF30_lo_as_0130",
    263400: "NNPDF30_lo_as_0130_nf_4",
    303400: "NNPDF31_nlo_as_0118",
    303600: "NNPDF31_nnlo_as_0118",
    315000: "NNPDF31_lo_as_0118",
    315200: "NNPDF31_lo_as_0130",
    315800: "NNPDF31_nlo_as_0118_mc",
    316200: "NNPDF31_nnlo_as_0118_mc",
    320500: "NNPDF31_nlo_as_0118_nf_4",
    320900: "NNPDF31_nnlo_as_0118_nf_4",
    331100: "NNPDF40_nnlo_as_01180",
    90500: "PDF4LHC15_nlo_mc",
    91500: "PDF4LHC15_nnlo_mc",
}

PDF_SETS: tuple[PdfSet, ...] = (
    *(PdfSet(first_id, name, 100, "replicas") for first_id, name in _REPLICAS.items()),
    _with_alpha_s(292000, "NNPDF30_nlo_nf_4_pdfas", 100, "replicas"),
    _with_alpha_s(292200, "NNPDF30_nlo_nf_5_pdfas", 100, "replicas"),
    _with_alpha_s(292400, "NNPDF30_nnlo_nf_4_pdfas", 100, "replicas"),
    _with_alpha_s(292600, "NNPDF30_nnlo_nf_5_pdfas", 100, "replicas"),
    _with_alpha_s(305000, "NNPDF31_nlo_pdfas", 100, "replicas"),
    _with_alpha_s(305200, "NNPDF31_nnlo_pdfas", 100, "replicas"),
    _with_alpha_s(90000, "PDF4LHC15_nlo_mc_pdfas", 100, "replicas"),
    _with_alpha_s(91000, "PDF4LHC15_nnlo_mc_pdfas", 100, "replicas"),
    PdfSet(303000, "NNPDF30_nlo_as_0118_hessian", 100, "symmhessian"),
    PdfSet(303200, "NNPDF30_nnlo_as_0118_hessian", 100, "symmhessian"),
    PdfSet(304200, "NNPDF31_nlo_as_0118_hessian", 100, "symmhessian"),
    PdfSet(304400, "NNPDF31_nnlo_as_0118_hessian", 100, "symmhessian"),
    PdfSet(325500, "NNPDF31_nnlo_as_0118_nf_4_mc_hessian", 100, "symmhessian"),
    PdfSet(90700, "PDF4LHC15_nlo_100", 100, "symmhessian"),
    PdfSet(91700, "PDF4LHC15_nnlo_100", 100, "symmhessian"),
    PdfSet(90900, "PDF4LHC15_nlo_30", 30, "symmhessian"),
    PdfSet(91900, "PDF4LHC15_nnlo_30", 30, "symmhessian"),
    PdfSet(92000, "PDF4LHC15_nlo_nf4_30", 30, "symmhessian"),
    PdfSet(93100, "PDF4LHC21_40", 40, "symmhessian"),
    _with_alpha_s(305800, "NNPDF31_nlo_hessian_pdfas", 100, "symmhessian"),
    _with_alpha_s(306000, "NNPDF31_nnlo_hessian_pdfas", 100, "symmhessian"),
    _with_alpha_s(325300, "NNPDF31_nnlo_as_0118_mc_hessian_pdfas", 100, "symmhessian"),
    _with_alpha_s(90200, "PDF4LHC15_nlo_100_pdfas", 100, "symmhessian"),
    _with_alpha_s(91200, "PDF4LHC15_nnlo_100_pdfas", 100, "symmhessian"),
    _with_alpha_s(90400, "PDF4LHC15_nlo_30_pdfas", 30, "symmhessian"),
    _with_alpha_s(91400, "PDF4LHC15_nnlo_30_pdfas", 30, "symmhessian"),
    _with_alpha_s(93300, "PDF4LHC21_40_pdfas", 40, "symmhessian"),
    PdfSet(10800, "CT10", 52, "hessian", confidence=0.90),
    PdfSet(11000, "CT10nlo", 52, "hessian", confidence=0.90),
    PdfSet(13000, "CT14nnlo", 56, "hessian", confidence=0.90),
    PdfSet(13100, "CT14nlo", 56, "hessian", confidence=0.90),
    PdfSet(14000, "CT18NNLO", 58, "hessian", confidence=0.90),
    PdfSet(14400, "CT18NLO", 58, "hessian", confidence=0.90),
    PdfSet(21100, "MSTW2008nlo68cl", 40, "hessian"),
    PdfSet(21200, "MSTW2008nnlo68cl", 40, "hessian"),
    PdfSet(25000, "MMHT2014lo68cl", 50, "hessian"),
    PdfSet(25100, "MMHT2014nlo68cl", 50, "hessian"),
    PdfSet(25200, "MMHT2014nlo68clas118", 50, "hessian"),
    PdfSet(25300, "MMHT2014nnlo68cl", 50, "hessian"),
    PdfSet(27100, "MSHT20nlo_as118", 64, "hessian"),
    PdfSet(27400, "MSHT20nnlo_as118", 64, "hessian"),
)


def pdf_set_of(first: int, last: int) -> PdfSet | None:
    """Return the set that holds the ids from `first` to `last`; None if the table has none."""
    for one in PDF_SETS:
        if one.first_id <= first and last < one.first_id + one.n_members:
            return one
    return None

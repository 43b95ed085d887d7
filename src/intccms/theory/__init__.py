"""Weights of generators: what each member of a set is, and how members become an uncertainty.

Pure: positions in NanoAOD's weight branches in, names and numbers out.
"""

from intccms.theory.combination import combined
from intccms.theory.layouts import BRANCHES, Kind, Layout, layout_of
from intccms.theory.pdf_sets import PDF_SETS, PdfSet, pdf_set_of

__all__ = [
    "BRANCHES",
    "PDF_SETS",
    "Kind",
    "Layout",
    "PdfSet",
    "combined",
    "layout_of",
    "pdf_set_of",
]

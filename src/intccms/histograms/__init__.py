"""Exact sums of weights, the book of histograms made of them, and its files."""

from __future__ import annotations

from intccms.histograms.book import (
    NOMINAL,
    Book,
    Yield,
    make_book,
    shifts,
    total_uncertainty,
    uncertainty_sources,
)
from intccms.histograms.exact import ExactSums
from intccms.histograms.storage import load, save
from intccms.histograms.sums import HistogramSums, bin_indices

__all__ = [
    "NOMINAL",
    "Book",
    "ExactSums",
    "HistogramSums",
    "Yield",
    "bin_indices",
    "load",
    "make_book",
    "save",
    "shifts",
    "total_uncertainty",
    "uncertainty_sources",
]

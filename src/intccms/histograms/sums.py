"""Exact bin sums of the chunks of one dataset, for all variations of one histogram.

They know no cross section, luminosity or sum of weights: `book` applies these, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intccms.histograms.exact import ExactSums

__all__ = ["HistogramSums", "bin_indices"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def bin_indices(values: npt.ArrayLike, edges: npt.ArrayLike) -> IntArray:
    """Bin of each value: 0 is underflow, ``len(edges)`` is overflow.

    Parameters
    ----------
    values : shape (n_rows,)
        Observable; infinities are under- and overflow.
    edges : shape (n_bins + 1,)
        Rising; a bin holds its lower edge, so the last edge belongs to the overflow.

    Raises
    ------
    ValueError
        If a value is not a number: it belongs nowhere, and leaving it out would lose an event.
    """
    numbers = np.asarray(values, dtype=np.float64)
    n_nan = int(np.count_nonzero(np.isnan(numbers)))
    if n_nan:
        raise ValueError(f"{n_nan} of {numbers.size} values of an observable are not a number")
    rising = np.asarray(edges, dtype=np.float64)
    n_bins = len(rising) - 1
    # Most are where bins of equal width would put them; a search takes far longer.
    with np.errstate(all="ignore"):
        guess = (numbers - rising[0]) * (n_bins / (rising[-1] - rising[0])) + 1.0
    index: IntArray = np.fmin(np.fmax(guess, 0.0), n_bins + 1.0).astype(np.intp)
    least, next_one = np.append(-np.inf, rising), np.append(rising, np.inf)
    wrong = (numbers < least[index]) | (numbers >= next_one[index])
    if wrong.any():
        index[wrong] = np.searchsorted(rising, numbers[wrong], side="right")
    return index


@dataclass(frozen=True)
class HistogramSums:
    """Exact sums of weights and their squares in one histogram, for each variation.

    The flat bin is ``variation * (n_bins + 2) + bin``, with `bin` as `bin_indices` gives it.
    """

    variations: tuple[str, ...]
    n_bins: int  # without the two flow bins
    sumw: ExactSums
    sumw2: ExactSums

    @classmethod
    def zeros(cls, variations: Iterable[str], n_bins: int) -> HistogramSums:
        """Histogram of no events."""
        names = tuple(variations)
        empty = ExactSums.zeros(len(names) * (n_bins + 2))
        return cls(names, n_bins, empty, empty)

    @classmethod
    def of(
        cls,
        variations: Iterable[str],
        n_bins: int,
        bins: npt.ArrayLike,
        weights: npt.ArrayLike,
        variation_index: npt.ArrayLike | None = None,
    ) -> HistogramSums:
        """Exact sums of the rows whose bins are known.

        Parameters
        ----------
        variations
            Labels; the first of them is number 0.
        n_bins
            Number of bins without flow.
        bins : shape (n_rows,)
            As from `bin_indices`.
        weights : shape (n_rows,) or (n_variations, n_rows)
            A matrix fills each row of events once per variation.
        variation_index : shape (n_rows,)
            Variation that each row belongs to; needed when `weights` is not a matrix and there is
            more than one variation.
        """
        names = tuple(variations)
        weight = np.asarray(weights, dtype=np.float64)
        index = np.asarray(bins, dtype=np.intp)
        if variation_index is not None:
            index = index + np.asarray(variation_index, dtype=np.intp) * (n_bins + 2)
        elif weight.ndim == 2:
            offsets = np.arange(len(names), dtype=np.intp) * (n_bins + 2)
            index = index[np.newaxis, :] + offsets[:, np.newaxis]
        elif len(names) != 1:
            raise ValueError(f"weights of one variation, but {len(names)} labels")
        if index.shape != weight.shape:
            raise ValueError(f"weights of shape {weight.shape} for bins of shape {index.shape}")
        size = len(names) * (n_bins + 2)
        return cls(
            names,
            n_bins,
            ExactSums.of(weight, index, size),
            ExactSums.of(weight * weight, index, size),
        )

    @classmethod
    def filled(
        cls,
        variations: Iterable[str],
        edges: npt.ArrayLike,
        values: npt.ArrayLike,
        weights: npt.ArrayLike,
        variation_index: npt.ArrayLike | None = None,
    ) -> HistogramSums:
        """Exact sums of rows with the observable `values`; see `of` and `bin_indices`."""
        n_bins = np.asarray(edges).size - 1
        return cls.of(variations, n_bins, bin_indices(values, edges), weights, variation_index)

    def __add__(self, other: HistogramSums) -> HistogramSums:
        """Exact sums of both; variations are matched by name.

        A label that only one side has gets nothing from the other: all chunks of a dataset must
        give the same labels, but different fills of one chunk may give different ones.
        """
        if not isinstance(other, HistogramSums):
            return NotImplemented
        if self.n_bins != other.n_bins:
            raise ValueError(f"cannot add histograms of {self.n_bins} and {other.n_bins} bins")
        names = tuple(dict.fromkeys(self.variations + other.variations))
        left, right = self.aligned(names), other.aligned(names)
        return HistogramSums(names, self.n_bins, left.sumw + right.sumw, left.sumw2 + right.sumw2)

    def aligned(self, variations: Iterable[str]) -> HistogramSums:
        """Exact sums for the given labels, among which all present ones must be."""
        names = tuple(variations)
        if names == self.variations:
            return self
        width = self.n_bins + 2
        starts = np.array([names.index(name) * width for name in self.variations], dtype=np.intp)
        positions = (starts[:, np.newaxis] + np.arange(width)).ravel()
        size = len(names) * width
        return HistogramSums(
            names,
            self.n_bins,
            self.sumw.placed(positions, size),
            self.sumw2.placed(positions, size),
        )

    def rounded(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Per variation: sums of weights and of squares, each of shape (n_bins + 2,)."""
        shape = (len(self.variations), self.n_bins + 2)
        sumw = self.sumw.values().reshape(shape)
        sumw2 = self.sumw2.values().reshape(shape)
        return {name: (sumw[i], sumw2[i]) for i, name in enumerate(self.variations)}

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Plain arrays that hold everything, for storage without pickle."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "variations": np.array(self.variations, dtype=np.str_),
            "n_bins": np.array(self.n_bins, dtype=np.int64),
        }
        for name, sums in (("sumw", self.sumw), ("sumw2", self.sumw2)):
            arrays |= {f"{name}_{part}": array for part, array in sums.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> HistogramSums:
        """Read back what `to_arrays` gave."""
        sumw, sumw2 = (
            ExactSums.from_arrays({part: arrays[f"{name}_{part}"] for part in ("levels", "sums")})
            for name in ("sumw", "sumw2")
        )
        variations = tuple(str(name) for name in arrays["variations"])
        return cls(variations, int(arrays["n_bins"].item()), sumw, sumw2)

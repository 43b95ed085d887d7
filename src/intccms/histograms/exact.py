"""Sums of float64 numbers without rounding, so that no split or order can change a bit.

Chunks, retries, resumes and executors all add up partial results; with these sums they must agree.
How the weights of many events are spread is told by such sums and by counts: a quantile is read off
bins whose edges are the same everywhere, rounded up to an edge, by a quarter at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

STEP_BITS = 20  # distance of two levels: level k holds multiples of 2**(20 k)
PART_BITS = STEP_BITS - 1  # a part is at most 2**19 units of its level
SMALLEST_EXPONENT = -1074  # 2**-1074 is the smallest positive float64
SUM_LIMIT = 2.0**53  # units of a level: below it float64 counts integers without a gap
LARGEST_NUMBER = 2.0**1023  # above it, rounding to the top grid could leave float64
BLOCK = 1 << 15  # rows cut at a time, so that the scratch arrays stay in the cache


class ExactJson(TypedDict):
    """Exact sums in terms of JSON, as manifests of skims and saved runs hold them."""

    levels: list[int]
    sums: list[list[float]]  # of each level, bin by bin


@dataclass(frozen=True, eq=False)
class ExactSums:
    """Exact sums of weights in an array of bins.

    Each weight is cut into parts on fixed grids. Level `k` holds multiples of its unit,
    ``2**(20 k)``; from the top level down, ``part = rint(rest / unit) * unit`` is taken off the
    rest until nothing is left. All sums within a level are then sums of integers (times the
    unit), which float64 does without rounding, so that they are associative and commutative.
    Only `values` rounds, once.

    Notes
    -----
    The top level is one where ``|w| <= 2**19`` units, so its part is at most ``2**19`` units.
    After it ``|rest| <= unit / 2``, which is ``2**19`` units of the next level: by induction no
    part at any level exceeds ``2**19`` units. Float64 holds each integer below ``2**53``, so a bin
    is exact for all additions before number ``2**53 / 2**19 = 2**34`` (1.7e10). Where a sum could
    leave that range, `of` and ``+`` raise `OverflowError`; a wrong sum is never returned.

    A level above the top one would get ``rint(rest / unit) = 0`` (the tie ``1/2`` rounds to the
    even 0), so the cut of a number depends on that number alone, never on its neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> many = np.array([1e12, 1.0, -1e12, 1e-12])
    >>> ExactSums.total(many).value
    1.000000000001
    >>> ExactSums.total(many[:2]) + ExactSums.total(many[2:]) == ExactSums.total(many[::-1])
    True
    """

    size: int  # number of bins
    levels: dict[int, FloatArray] = field(default_factory=dict)  # level -> (size,), not all zero

    def __post_init__(self) -> None:
        """Refuse levels of another size, as a file of somebody else may hold them."""
        if any(sums.shape != (self.size,) for sums in self.levels.values()):
            raise ValueError(f"each level of exact sums of {self.size} bins has as many numbers")

    @classmethod
    def zeros(cls, size: int) -> ExactSums:
        """Exact sums of nothing in `size` bins."""
        return cls(size)

    @classmethod
    def total(cls, values: npt.ArrayLike) -> ExactSums:
        """Sum of all values in one bin.

        Parameters
        ----------
        values : any shape
            Finite numbers.
        """
        return cls._summed(np.asarray(values, dtype=np.float64).ravel(), None, 1)

    @classmethod
    def of(cls, values: npt.ArrayLike, index: npt.ArrayLike, size: int) -> ExactSums:
        """Exact sums of `values` in the bins that `index` names.

        Parameters
        ----------
        values : any shape
            Finite numbers.
        index : same shape
            Bin of each value, from 0 to ``size - 1``.
        size
            Number of bins.

        Raises
        ------
        ValueError
            If a value is not finite, or an index lies outside.
        """
        numbers = np.asarray(values, dtype=np.float64).ravel()
        bins = np.asarray(index, dtype=np.intp).ravel()
        if numbers.shape != bins.shape:
            raise ValueError(f"{numbers.size} values, but {bins.size} bin indices")
        if bins.size and (bins.min() < 0 or bins.max() >= size):
            raise ValueError(f"bin indices must lie in 0 … {size - 1}")
        return cls._summed(numbers, bins, size)

    @classmethod
    def of_rows(
        cls, rows: npt.ArrayLike, scale: npt.ArrayLike, index: npt.ArrayLike, n_bins: int
    ) -> ExactSums:
        """Exact sums of many numbers of each event, each multiplied by the event's own.

        Parameters
        ----------
        rows : shape (n_events, n_columns)
            Finite numbers.
        scale : shape (n_events,)
            Factor of each event.
        index : shape (n_events,)
            Bin of each event, from 0 to ``n_bins - 1``.
        n_bins
            Number of bins of each column; that of column `k` and bin `i` is ``k * n_bins + i``.
        """
        table, factor = np.asarray(rows), np.asarray(scale, dtype=np.float64)
        bins = np.asarray(index, dtype=np.intp)
        order = np.argsort(bins, kind="stable")
        n_columns = table.shape[1]
        levels: dict[int, FloatArray] = {}
        n_rows = max(BLOCK // max(n_columns, 1), 1)
        for start in range(0, len(order), n_rows):
            chosen = order[start : start + n_rows]
            filled_bins, first = np.unique(bins[chosen], return_index=True)
            for level, part in _parts(table[chosen] * factor[chosen, np.newaxis]):
                sums = levels.setdefault(level, np.zeros((n_bins, n_columns)))
                sums[filled_bins] += np.add.reduceat(part, first, axis=0)
        if not all(np.isfinite(sums).all() for sums in levels.values()):
            raise OverflowError("a sum is beyond the largest float64")
        by_column = {level: sums.T.ravel() for level, sums in levels.items()}
        return cls(n_bins * n_columns, _without_zeros(by_column))

    @classmethod
    def _summed(cls, numbers: FloatArray, bins: IntArray | None, size: int) -> ExactSums:
        if numbers.size >= 2**34:
            raise OverflowError("2**34 values or more in one call: sum them in pieces")
        levels: dict[int, FloatArray] = {}
        for start in range(0, numbers.size, BLOCK):
            chosen = None if bins is None else bins[start : start + BLOCK]
            for level, part in _parts(numbers[start : start + BLOCK]):
                sums = np.zeros(size)
                if chosen is None:
                    sums[0] = part.sum()  # pairwise or not: each order is exact
                else:
                    sums += np.bincount(chosen, weights=part, minlength=size)
                if level in levels:
                    levels[level] += sums
                else:
                    levels[level] = sums
        if not all(np.isfinite(sums).all() for sums in levels.values()):
            raise OverflowError("a sum is beyond the largest float64")
        return cls(size, _without_zeros(levels))

    def __add__(self, other: ExactSums) -> ExactSums:
        """Exact sums of both, bin by bin.

        Raises
        ------
        ValueError
            If the numbers of bins differ.
        OverflowError
            If a bin has taken so many values that the next could be rounded.
        """
        if not isinstance(other, ExactSums):
            return NotImplemented
        if self.size != other.size:
            raise ValueError(f"cannot add sums of {self.size} and of {other.size} bins")
        levels = dict(self.levels)
        for level, sums in other.levels.items():
            levels[level] = levels[level] + sums if level in levels else sums
            if np.abs(levels[level]).max(initial=0.0) / _unit(level) >= SUM_LIMIT:
                raise OverflowError("too many values in one bin for exact sums")
        return ExactSums(self.size, _without_zeros(levels))

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same exact sums, not only the same rounded values."""
        if not isinstance(other, ExactSums):
            return NotImplemented
        mine, theirs = _without_zeros(self.levels), _without_zeros(other.levels)
        return (
            self.size == other.size
            and mine.keys() == theirs.keys()
            and all(np.array_equal(sums, theirs[level]) for level, sums in mine.items())
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def values(self) -> FloatArray:
        """All sums, each rounded once to float64; shape (size,)."""
        result = np.zeros(self.size)
        if self.levels:
            stacked = np.stack([self.levels[level] for level in sorted(self.levels)])
            touched = np.flatnonzero(stacked.any(axis=0))
            result[touched] = [math.fsum(column) for column in stacked[:, touched].T.tolist()]
        return result

    @property
    def value(self) -> float:
        """The sum of a single bin.

        Raises
        ------
        ValueError
            If there is more than one bin.
        """
        return float(self.values().item())

    def placed(self, positions: npt.ArrayLike, size: int) -> ExactSums:
        """Exact sums with bin `i` moved to bin ``positions[i]`` of `size`, the others empty."""
        target = np.asarray(positions, dtype=np.intp)
        levels = {}
        for level, sums in self.levels.items():
            levels[level] = np.zeros(size)
            levels[level][target] = sums
        return ExactSums(size, levels)

    def to_json(self) -> ExactJson:
        """Everything in terms of JSON; the digits of a float there give the same bits again."""
        order = sorted(self.levels)
        return {"levels": order, "sums": [self.levels[level].tolist() for level in order]}

    @classmethod
    def from_json(cls, plain: ExactJson, size: int = 1) -> ExactSums:
        """Read back what `to_json` gave of `size` bins."""
        sums = np.asarray(plain["sums"], dtype=np.float64).reshape(-1, size)
        return cls(size, {int(k): row for k, row in zip(plain["levels"], sums, strict=True)})


def _unit(level: int) -> float:
    # the lowest grid would lie below the smallest float64: that one stands in, all is on its grid
    return math.ldexp(1.0, max(STEP_BITS * level, SMALLEST_EXPONENT))


def _level_of(largest: float) -> int:
    """Lowest level at which `largest` is at most ``2**19`` units."""
    fraction, exponent = math.frexp(largest)  # fraction in [1/2, 1)
    power = exponent - 1 if fraction == 0.5 else exponent
    return -((PART_BITS - power) // STEP_BITS)


def _parts(numbers: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Parts of one block, level by level from the top; levels without a part are left out."""
    rest = numbers.copy()
    part = np.empty_like(rest)
    while True:
        largest = float(np.abs(rest, out=part).max())
        if not math.isfinite(largest):
            raise ValueError("weights and values to be summed must be finite")
        if largest > LARGEST_NUMBER:
            raise OverflowError("a number is too large for exact sums")
        if largest == 0.0:
            return
        level = _level_of(largest)
        unit = _unit(level)
        np.divide(rest, unit, out=part)
        np.rint(part, out=part)
        np.multiply(part, unit, out=part)
        np.subtract(rest, part, out=rest)
        yield level, part


def _without_zeros(levels: dict[int, FloatArray]) -> dict[int, FloatArray]:
    return {level: levels[level] for level in sorted(levels) if levels[level].any()}


Counts = npt.NDArray[np.int64]

PER_OCTAVE = 4  # bins between a weight and its double
ZERO = -(1 << 20)  # bin of weights that are zero, below all others
QUANTILE = 0.999
NOTABLE = 0.01  # of the sum of weights


def _none() -> Counts:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class WeightReport:
    """What there is to say of the weights of a dataset, as they are used.

    Parameters
    ----------
    n_effective
        (Σ w)² / Σ w²: so many events of equal weight would have the same statistical error.
    largest, largest_share
        Largest ``|w|``, and what part of ``|Σ w|`` it is.
    quantile
        99.9 % of the ``|w|`` are not larger.
    n_above
        Number of ``|w|`` above `factor` times that.
    n_clipped
        Weights that ``general.weight_clip`` has changed.
    """

    n_events: int
    n_effective: float
    largest: float
    largest_share: float
    quantile: float
    n_above: int
    factor: float
    n_clipped: int
    is_odd: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"{self.n_above:,} of {self.n_events:,} events have a weight above {self.factor:g} x "
            f"the 99.9 % quantile ({self.quantile:.3g}); the largest is {self.largest:.4g}, "
            f"{self.largest_share:.3g} of the sum of weights; effective number of events: "
            f"{self.n_effective:,.4g}"
        )


class SpectrumJson(TypedDict):
    """A `WeightSpectrum` in terms of JSON."""

    bins: list[int]
    counts: list[int]
    largest: list[float]  # one
    n_clipped: list[int]  # one
    sumw_levels: list[int]
    sumw_sums: list[list[float]]
    sumw2_levels: list[int]
    sumw2_sums: list[list[float]]


@dataclass(frozen=True, eq=False)
class WeightSpectrum:
    """Counts of ``|w|`` in fine bins, Σ w and Σ w² of some events; those of several are added."""

    bins: Counts = field(default_factory=_none)  # rising
    counts: Counts = field(default_factory=_none)
    largest: float = 0.0
    n_clipped: int = 0
    sumw: ExactSums = field(default_factory=lambda: ExactSums.zeros(1))
    sumw2: ExactSums = field(default_factory=lambda: ExactSums.zeros(1))

    @classmethod
    def of(cls, weights: npt.ArrayLike, n_clipped: int = 0) -> WeightSpectrum:
        """Take in finite weights, shape (n_events,)."""
        values = np.asarray(weights, dtype=np.float64)
        size = np.abs(values)
        mantissa, exponent = np.frexp(size)  # exact: mantissa in [1/2, 1)
        place = exponent.astype(np.int64) * PER_OCTAVE
        place += ((mantissa - 0.5) * (2 * PER_OCTAVE)).astype(np.int64)
        place[size == 0.0] = ZERO
        bins, counts = np.unique(place, return_counts=True)
        sums = (ExactSums.total(values), ExactSums.total(values * values))
        largest = float(size.max(initial=0.0))
        return cls(bins, counts.astype(np.int64), largest, n_clipped, *sums)

    def __add__(self, other: WeightSpectrum) -> WeightSpectrum:
        """Add the weights of other events."""
        if not isinstance(other, WeightSpectrum):
            return NotImplemented
        bins, index = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), dtype=np.int64)
        np.add.at(counts, index, np.concatenate([self.counts, other.counts]))
        return WeightSpectrum(
            bins,
            counts,
            max(self.largest, other.largest),
            self.n_clipped + other.n_clipped,
            self.sumw + other.sumw,
            self.sumw2 + other.sumw2,
        )

    @property
    def n_events(self) -> int:
        """Number of weights."""
        return int(self.counts.sum())

    def quantile(self, fraction: float) -> float:
        """Return a ``|w|`` that at least this fraction of all does not exceed."""
        if not self.n_events:
            return 0.0
        rank = np.ceil(fraction * self.n_events)
        place = int(self.bins[np.searchsorted(np.cumsum(self.counts), rank)])
        return min(_edge(place + 1) if place != ZERO else 0.0, self.largest)

    def report(self, factor: float) -> WeightReport:
        """Sum up how the weights are spread, and whether that is odd.

        Parameters
        ----------
        factor
            By which a weight must exceed the 99.9 % quantile to be counted.
        """
        sumw, sumw2, high = self.sumw.value, self.sumw2.value, self.quantile(QUANTILE)
        edges = np.array([_edge(int(place)) for place in self.bins])
        n_above = int(self.counts[edges >= factor * high].sum()) if high else 0
        share = abs(self.largest / sumw) if sumw else 0.0
        is_far = self.largest > factor * self.quantile(0.5) and share > NOTABLE
        return WeightReport(
            n_events=self.n_events,
            n_effective=sumw * sumw / sumw2 if sumw2 else 0.0,
            largest=self.largest,
            largest_share=share,
            quantile=high,
            n_above=n_above,
            factor=factor,
            n_clipped=self.n_clipped,
            is_odd=n_above > 0 or is_far,
        )

    def to_json(self) -> SpectrumJson:
        """Return everything in terms of JSON."""
        sumw, sumw2 = self.sumw.to_json(), self.sumw2.to_json()
        return {
            "bins": self.bins.tolist(),
            "counts": self.counts.tolist(),
            "largest": [self.largest],
            "n_clipped": [self.n_clipped],
            "sumw_levels": sumw["levels"],
            "sumw_sums": sumw["sums"],
            "sumw2_levels": sumw2["levels"],
            "sumw2_sums": sumw2["sums"],
        }

    @classmethod
    def from_json(cls, plain: SpectrumJson) -> WeightSpectrum:
        """Read back what `to_json` gave."""
        return cls(
            np.asarray(plain["bins"], dtype=np.int64),
            np.asarray(plain["counts"], dtype=np.int64),
            plain["largest"][0],
            plain["n_clipped"][0],
            ExactSums.from_json({"levels": plain["sumw_levels"], "sums": plain["sumw_sums"]}),
            ExactSums.from_json({"levels": plain["sumw2_levels"], "sums": plain["sumw2_sums"]}),
        )


def _edge(place: int) -> float:
    """Return the lower edge of a bin."""
    if place == ZERO:
        return 0.0
    exponent, part = divmod(place, PER_OCTAVE)
    return float(np.ldexp(0.5 + part / (2 * PER_OCTAVE), exponent))

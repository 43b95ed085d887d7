"""How the weights of many events are spread: exact sums and counts that any chunks add up to.

A quantile is read off counts in bins whose edges are the same everywhere, so that it does not
depend on how the events were cut into chunks: it is rounded up to an edge, by a quarter at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from intccms.histograms.exact import ExactSums

IntArray = npt.NDArray[np.int64]

PER_OCTAVE = 4  # bins between a weight and its double
ZERO = -(1 << 20)  # bin of weights that are zero, below all others
QUANTILE = 0.999
NOTABLE = 0.01  # of the sum of weights
EXACT = ("levels", "sums")


def _none() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class WeightReport:
    """What there is to say of the weights of a dataset, as they are used.

    Parameters
    ----------
    n_effective
        (Σ w)² / Σ w²: so many events of equal weight would have the same statistical error.
    largest, largest_share
        Largest |w|, and what part of |Σ w| it is.
    quantile
        99.9 % of the |w| are not larger.
    n_above
        Number of |w| above `factor` times that.
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
        """Give it, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.n_above:,} of {self.n_events:,} events have a weight above {self.factor:g} x "
            f"the 99.9 % quantile ({self.quantile:.3g}); the largest is {self.largest:.4g}, "
            f"{self.largest_share:.3g} of the sum of weights; effective number of events: "
            f"{self.n_effective:,.4g}"
        )


@dataclass(frozen=True, eq=False)
class WeightSpectrum:
    """Counts of |w| in fine bins, Σ w and Σ w² of some events; those of several are added."""

    bins: IntArray = field(default_factory=_none)  # rising
    counts: IntArray = field(default_factory=_none)
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
        """Both."""
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
        """Return a |w| that at least this fraction of all does not exceed."""
        if not self.n_events:
            return 0.0
        rank = np.ceil(fraction * self.n_events)
        place = int(self.bins[np.searchsorted(np.cumsum(self.counts), rank)])
        return min(_edge(place + 1) if place != ZERO else 0.0, self.largest)

    def report(self, factor: float) -> WeightReport:
        """Say what is odd about the weights.

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

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Plain arrays that hold everything."""
        found: dict[str, npt.NDArray[np.generic]] = {
            "bins": self.bins,
            "counts": self.counts,
            "largest": np.array([self.largest]),
            "n_clipped": np.array([self.n_clipped], dtype=np.int64),
        }
        for name, sums in (("sumw", self.sumw), ("sumw2", self.sumw2)):
            found |= {f"{name}_{part}": array for part, array in sums.to_arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> WeightSpectrum:
        """Read back what `to_arrays` gave."""
        sums = (
            ExactSums.from_arrays({part: arrays[f"{name}_{part}"] for part in EXACT})
            for name in ("sumw", "sumw2")
        )
        largest, n_clipped = float(arrays["largest"][0]), int(arrays["n_clipped"][0])
        return cls(arrays["bins"], arrays["counts"], largest, n_clipped, *sums)

    def to_json(self) -> dict[str, Any]:
        """Give everything in terms of JSON."""
        return {name: array.tolist() for name, array in self.to_arrays().items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> WeightSpectrum:
        """Read back what `to_json` gave."""
        kinds = {"bins": np.int64, "counts": np.int64, "n_clipped": np.int64}
        arrays = {
            name: np.asarray(
                values, np.int64 if name.endswith("levels") else kinds.get(name, float)
            )
            for name, values in plain.items()
        }
        for name in ("sumw_sums", "sumw2_sums"):
            arrays[name] = arrays[name].reshape(-1, 1)
        return cls.from_arrays(arrays)


def _edge(place: int) -> float:
    """Return the lower edge of a bin."""
    if place == ZERO:
        return 0.0
    exponent, part = divmod(place, PER_OCTAVE)
    return float(np.ldexp(0.5 + part / (2 * PER_OCTAVE), exponent))

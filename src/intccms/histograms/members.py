"""Exact sums of many weights of an event, by name: members of theory weights, norms."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intccms.histograms.exact import ExactSums

__all__ = ["MemberSums", "WeightSums"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MemberSums:
    """Exact sums in the same bins for each of several weights.

    Parameters
    ----------
    labels
        Names of the weights.
    n_bins
        All bins of a weight, flow included; 1 for sums over all events.
    sumw
        Bin `i` of weight `k` is number ``k * n_bins + i``.
    """

    labels: tuple[str, ...]
    n_bins: int
    sumw: ExactSums

    @classmethod
    def nothing(cls, n_bins: int = 1) -> MemberSums:
        """Make the sums of no weights."""
        return cls((), n_bins, ExactSums.zeros(0))

    @classmethod
    def of(
        cls,
        labels: Iterable[str],
        rows: npt.ArrayLike,
        scale: npt.ArrayLike,
        *,
        bins: npt.ArrayLike | None = None,
        n_bins: int = 1,
    ) -> MemberSums:
        """Exact sums of the weights of events.

        Parameters
        ----------
        rows : shape (n_events, n_labels)
            Relative weights.
        scale : shape (n_events,)
            The weight that they are relative to.
        bins : shape (n_events,)
            None: all are in the same bin.
        """
        factors = np.asarray(scale, dtype=np.float64)
        index = np.zeros(len(factors), dtype=np.intp) if bins is None else bins
        return cls(tuple(labels), n_bins, ExactSums.of_rows(rows, factors, index, n_bins))

    def __add__(self, other: MemberSums) -> MemberSums:
        """Exact sums of both; weights are matched by name."""
        if not isinstance(other, MemberSums):
            return NotImplemented
        if self.n_bins != other.n_bins:
            raise ValueError(f"cannot add sums in {self.n_bins} and in {other.n_bins} bins")
        labels = tuple(dict.fromkeys(self.labels + other.labels))
        return MemberSums(labels, self.n_bins, self._placed(labels) + other._placed(labels))

    def _placed(self, labels: tuple[str, ...]) -> ExactSums:
        if labels == self.labels:
            return self.sumw
        where = {label: i for i, label in enumerate(labels)}
        starts = np.array([where[label] for label in self.labels], dtype=np.intp) * self.n_bins
        positions = (starts[:, np.newaxis] + np.arange(self.n_bins)).ravel()
        return self.sumw.placed(positions, len(labels) * self.n_bins)

    def rounded(self) -> dict[str, FloatArray]:
        """Return the sums of each weight, shape (n_bins,)."""
        table = self.sumw.values().reshape(len(self.labels), self.n_bins)
        return dict(zip(self.labels, table, strict=True))

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Plain arrays that hold everything, for storage without pickle."""
        head: dict[str, npt.NDArray[np.generic]] = {
            "labels": np.array(self.labels or [""], dtype=np.str_),
            "n_labels": np.array(len(self.labels), dtype=np.int64),
            "n_bins": np.array(self.n_bins, dtype=np.int64),
        }
        return head | self.sumw.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> MemberSums:
        """Read back what `to_arrays` gave."""
        n_labels, n_bins = (int(arrays[name].item()) for name in ("n_labels", "n_bins"))
        labels = tuple(str(label) for label in arrays["labels"][:n_labels])
        levels = np.asarray(arrays["levels"], dtype=np.int64)
        sums = np.asarray(arrays["sums"], dtype=np.float64)
        sums = sums.reshape(len(levels), n_labels * n_bins)
        return cls(labels, n_bins, ExactSums.from_arrays({"levels": levels, "sums": sums}))


@dataclass(frozen=True)
class WeightSums:
    """What must be known of the weights of all events before any cut, those of a skim's origin too.

    Parameters
    ----------
    titles
        Of the branches of theory weights that there are.
    sums
        Of the weights of each source that is normalised, in one bin.
    """

    titles: dict[str, str]
    sums: MemberSums

    def __add__(self, other: WeightSums) -> WeightSums:
        """Add both; the titles are those of one of them."""
        if not isinstance(other, WeightSums):
            return NotImplemented
        return WeightSums(self.titles | other.titles, self.sums + other.sums)

    def to_text(self) -> str:
        """Everything as one word of printable characters; empty if there is nothing to say."""
        if not self.titles and not self.sums.labels:
            return ""
        arrays = self.sums.sumw.to_arrays()
        head = {
            "titles": self.titles,
            "labels": self.sums.labels,
            "levels": arrays["levels"].tolist(),
        }
        numbers = np.asarray(arrays["sums"], dtype="<f8").tobytes()
        return base64.b64encode(
            zlib.compress(json.dumps(head).encode() + b"\n" + numbers, 6)
        ).decode()

    @classmethod
    def from_text(cls, text: str) -> WeightSums:
        """Read back what `to_text` gave."""
        if not text:
            return cls({}, MemberSums.nothing())
        head_text, _, numbers = zlib.decompress(base64.b64decode(text)).partition(b"\n")
        head = json.loads(head_text)
        levels = np.asarray(head["levels"], dtype=np.int64)
        sums = np.frombuffer(numbers, dtype="<f8").reshape(len(levels), len(head["labels"]))
        exact = ExactSums.from_arrays({"levels": levels, "sums": sums})
        return cls(head["titles"], MemberSums(tuple(head["labels"]), 1, exact))

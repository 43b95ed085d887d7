"""Exact bin sums of the chunks of one dataset: of all variations of a histogram, of many weights.

They know no cross section, luminosity or sum of weights: `book` applies these, once. With them
comes the cutflow: how many events are left after each cut, and what yield they stand for.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from intccms.datasets.sections import LumiSections
from intccms.datasets.skimmed_rows import OriginalJson
from intccms.histograms.exact import ExactJson, ExactSums, WeightSpectrum

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


def _aligned(
    sums: ExactSums, labels: tuple[str, ...], wanted: tuple[str, ...], width: int = 1
) -> ExactSums:
    """Move the `width` bins of each of `labels` to where the label is among those `wanted`."""
    if labels == wanted:
        return sums
    place = {label: i for i, label in enumerate(wanted)}
    starts = np.array([place[label] for label in labels], dtype=np.intp) * width
    positions = starts[:, np.newaxis] + np.arange(width)
    return sums.placed(positions.ravel(), len(wanted) * width)


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
        sumw, sumw2 = (
            _aligned(one, self.variations, names, self.n_bins + 2)
            for one in (self.sumw, self.sumw2)
        )
        return HistogramSums(names, self.n_bins, sumw, sumw2)

    def rounded(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Per variation: sums of weights and of squares, each of shape (n_bins + 2,)."""
        shape = (len(self.variations), self.n_bins + 2)
        sumw = self.sumw.values().reshape(shape)
        sumw2 = self.sumw2.values().reshape(shape)
        return {name: (sumw[i], sumw2[i]) for i, name in enumerate(self.variations)}


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
        mine, theirs = (
            _aligned(one.sumw, one.labels, labels, self.n_bins) for one in (self, other)
        )
        return MemberSums(labels, self.n_bins, mine + theirs)

    def rounded(self) -> dict[str, FloatArray]:
        """Return the sums of each weight, shape (n_bins,)."""
        table = self.sumw.values().reshape(len(self.labels), self.n_bins)
        return dict(zip(self.labels, table, strict=True))


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
        levels = self.sums.sumw.levels
        order = sorted(levels)
        head = {"titles": self.titles, "labels": self.sums.labels, "levels": order}
        numbers = b"".join(levels[level].astype("<f8").tobytes() for level in order)
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
        labels = tuple(head["labels"])
        sums = (
            np.frombuffer(numbers, dtype="<f8")
            .astype(float)
            .reshape(len(head["levels"]), len(labels))
        )
        exact = ExactSums(len(labels), dict(zip(head["levels"], sums, strict=True)))
        return cls(head["titles"], MemberSums(labels, 1, exact))


@dataclass(frozen=True, slots=True)
class CutStep:
    """Events left after one cut.

    Parameters
    ----------
    n_events
        Raw count.
    yields
        Expected events: sum of ``genWeight`` times xsec · lumi / sumw. In the last step,
        ``event weights``, all corrections are in.
    """

    name: str
    n_events: int
    yields: float


@dataclass(frozen=True)
class OriginalEvents:
    """What is known of all events of a chunk before any cut, when a skim has kept some of them.

    Parameters
    ----------
    sumw, weights
        Sums of their generator weights, and of their other weights.
    spectrum
        How the generator weights are spread; None where that is not known.
    sections
        Luminosity sections of data.
    is_selected
        Whether the events at hand are the ones that pass the skim selection.
    """

    n_events: int
    sumw: ExactSums
    weights: WeightSums
    spectrum: WeightSpectrum | None
    sections: LumiSections
    is_selected: bool = True

    @classmethod
    def from_json(cls, plain: OriginalJson) -> OriginalEvents:
        """Read what `original_json` gave."""
        n_events, weights = plain["n_events"], WeightSums.from_text(plain["weights"])
        if not n_events:  # the second half of a chunk: the first has the sums of all events
            weights = WeightSums(weights.titles, MemberSums.nothing())
        spectrum = plain.get("spectrum")
        return cls(
            n_events,
            ExactSums.from_json(plain["sumw"]),
            weights,
            WeightSpectrum.from_json(spectrum) if spectrum else None,
            LumiSections.from_text(plain["sections"] or ""),
            plain["is_selected"],
        )


def original_json(sums: Mapping[str, Any]) -> OriginalJson:
    """Return, in terms of JSON, what the sums of a chunk tell of all its events."""
    sections = [one.to_text() for one in sums.get("sections", {}).values()]
    return {
        "n_events": sums["n_events"],
        "sumw": sums["sumw"].to_json(),
        "weights": sums["weights"].to_text(),
        "spectrum": sums["spectrum"].to_json() if "spectrum" in sums else None,
        "sections": sections[0] if sections else None,
        "is_selected": True,
    }


class CutflowJson(TypedDict):
    """A `CutflowSums` in terms of JSON."""

    names: list[str]
    counts: list[int]
    sumw_levels: list[int]
    sumw_sums: list[list[float]]


Cutflow = dict[str, dict[str, list[CutStep]]]  # channel -> process -> steps


def cuts_in_order(flows: Iterable[Iterable[str]]) -> list[str]:
    """Return all cuts of several processes; one that a process lacks stands where others have it.

    Examples
    --------
    >>> cuts_in_order([["all", "one muon"], ["all", "lumi mask", "one muon"]])
    ['all', 'lumi mask', 'one muon']
    """
    names: list[str] = []
    for flow in flows:
        place = 0
        for name in flow:
            if name not in names:
                names.insert(place, name)
            place = names.index(name) + 1
    return names


@dataclass(frozen=True)
class CutflowSums:
    """Exact cutflow of the chunks of one dataset in one channel, not normalised.

    Parameters
    ----------
    names
        Steps in order.
    counts
        Raw events after each step.
    sumw
        Sum of weights after each step.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    sumw: ExactSums

    @classmethod
    def of(
        cls, names: Sequence[str], depth: npt.NDArray[np.intp], weights: npt.NDArray[np.float64]
    ) -> CutflowSums:
        """Count from the number of steps that each event passed.

        Parameters
        ----------
        names
            Steps in order.
        depth : shape (n_events,)
            How many of them the event passed, one after the other.
        weights : shape (n_events,)
            Generator weights.
        """
        size = len(names)
        counts = np.bincount(depth, minlength=size + 1)[::-1].cumsum()[::-1][1:]
        ends = ExactSums.of(weights, depth, size + 1)
        # sums of integers times the unit of a level stay exact when they are accumulated
        levels = {level: ends_.copy() for level, ends_ in ends.levels.items()}
        remaining = {level: sums[::-1].cumsum()[::-1][1:] for level, sums in levels.items()}
        return cls(tuple(names), tuple(int(n) for n in counts), ExactSums(size, remaining))

    def then(self, name: str, n_events: int, sumw: ExactSums) -> CutflowSums:
        """Append one step whose weights are other ones, as the last with all corrections."""
        size = len(self.names) + 1
        placed = self.sumw.placed(np.arange(size - 1), size) + sumw.placed([size - 1], size)
        return CutflowSums((*self.names, name), (*self.counts, n_events), placed)

    def beginning_with(self, n_events: int, sumw: ExactSums) -> CutflowSums:
        """Return the same with other sums in the first step: events that are not at hand."""
        size = len(self.names)
        rest = {
            level: np.where(np.arange(size) > 0, s, 0.0) for level, s in self.sumw.levels.items()
        }
        placed = ExactSums(size, rest) + sumw.placed([0], size)
        return CutflowSums(self.names, (n_events, *self.counts[1:]), placed)

    def __add__(self, other: CutflowSums) -> CutflowSums:
        """Exact cutflow of both; steps are matched by name, in the order of the longer one."""
        names = max(self.names, other.names, key=len)
        names = tuple(dict.fromkeys((*names, *self.names, *other.names)))
        counts: Counter[str] = Counter()
        for one in (self, other):
            counts.update(dict(zip(one.names, one.counts, strict=True)))
        left, right = (_aligned(one.sumw, one.names, names) for one in (self, other))
        return CutflowSums(names, tuple(counts[name] for name in names), left + right)

    def to_json(self) -> CutflowJson:
        """Everything in terms of JSON, as a saved run has it."""
        sumw = self.sumw.to_json()
        return {
            "names": list(self.names),
            "counts": list(self.counts),
            "sumw_levels": sumw["levels"],
            "sumw_sums": sumw["sums"],
        }

    @classmethod
    def from_json(cls, plain: CutflowJson) -> CutflowSums:
        """Read back what `to_json` gave."""
        names = tuple(plain["names"])
        exact: ExactJson = {"levels": plain["sumw_levels"], "sums": plain["sumw_sums"]}
        return cls(names, tuple(plain["counts"]), ExactSums.from_json(exact, len(names)))


def make_cutflow(
    sums: Mapping[str, Mapping[str, CutflowSums]],
    scale: Mapping[str, float],
    process_of: Mapping[str, str],
) -> Cutflow:
    """Normalise each dataset once and add datasets into processes.

    Parameters
    ----------
    sums
        Dataset → channel → exact cutflow.
    scale
        xsec · lumi / sumw of each dataset; 1 for data.
    process_of
        Process of each dataset.
    """
    cutflow: Cutflow = {}
    for dataset, channels in sums.items():
        for channel, flow in channels.items():
            steps = cutflow.setdefault(channel, {}).setdefault(process_of[dataset], [])
            before = {step.name: step for step in steps}
            for name, count, sumw in zip(flow.names, flow.counts, flow.sumw.values(), strict=True):
                old = before.get(name, CutStep(name, 0, 0.0))
                yields = old.yields + float(sumw) * scale[dataset]
                before[name] = CutStep(name, old.n_events + count, yields)
            steps[:] = before.values()
    return cutflow

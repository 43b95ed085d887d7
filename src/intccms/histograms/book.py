"""The book of normalised histograms, which the exact sums of all datasets become in the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hist
import numpy as np
import numpy.typing as npt

from intccms.errors import InputError, nearest
from intccms.histograms.sums import HistogramSums, MemberSums
from intccms.histograms.theory import combined

NOMINAL = "nominal"
MOST_OUTSIDE = 0.01  # of a process, outside of the edges of an observable, without a word

HistogramKey = tuple[str, str]  # (channel, observable)
FloatArray = npt.NDArray[np.float64]


class Yield(NamedTuple):
    """Expected or observed events and their statistical error."""

    value: float
    error: float


@dataclass(frozen=True)
class Book:
    """All histograms of a run, normalised: the only thing that fits and plots read.

    A histogram has the axes (observable, ``process``, ``variation``) and `Weight` storage. A
    variation that a process does not have holds its nominal there; for data all but the nominal is
    empty. `varied` says what was really evaluated.

    What lies outside of the edges of an observable stands in its flow bins. Where the observable is
    among `folded`, `histogram` and `slice` give it in the first and the last bin.
    """

    histograms: dict[HistogramKey, hist.Hist[Any]]
    varied: dict[str, tuple[str, ...]]  # process -> labels without nominal
    data_processes: tuple[str, ...] = ()
    folded: frozenset[HistogramKey] = frozenset()
    overlaps: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    """By process, how many events two channels, in the order of their names, have in common."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels, in the order of the configuration."""
        return tuple(dict.fromkeys(channel for channel, _ in self.histograms))

    @property
    def processes(self) -> tuple[str, ...]:
        """All processes, data included."""
        return tuple(self.varied)

    @property
    def mc_processes(self) -> tuple[str, ...]:
        """Simulated processes."""
        return tuple(name for name in self.varied if name not in self.data_processes)

    def observables(self, channel: str) -> tuple[str, ...]:
        """Observables of a channel."""
        if channel not in self.channels:
            raise InputError(f"unknown channel {channel!r}; {nearest(channel, self.channels)}")
        return tuple(name for key, name in self.histograms if key == channel)

    def histogram(self, channel: str, observable: str) -> hist.Hist[Any]:
        """Histogram of one observable, all processes and variations."""
        known = self.observables(channel)
        if observable not in known:
            raise InputError(
                f"unknown observable {observable!r} in channel {channel!r};"
                f" {nearest(observable, known)}"
            )
        histogram = self.histograms[channel, observable]
        return _folded(histogram) if (channel, observable) in self.folded else histogram

    def label(self, channel: str, observable: str) -> str:
        """Label of an observable's axis; it says which bins hold more than their edges say."""
        label = self.histogram(channel, observable).axes[0].label or observable
        flows = self._flows(channel, observable)
        if (channel, observable) not in self.folded or not flows:
            return str(label)
        names = ["underflow", "overflow"]
        below, above = np.sum([abs(flow[:2]) for flow in flows.values()], axis=0) > 0
        parts = [name for name, is_there in zip(names, (below, above), strict=True) if is_there]
        return f"{label} (with {' and '.join(parts)})" if parts else str(label)

    def reach(self, channel: str, observable: str) -> npt.NDArray[np.float64]:
        """Edges of an observable, infinite at the ends where what lies outside is folded in."""
        edges = np.array(self.histogram(channel, observable).axes[0].edges, dtype=np.float64)
        if (channel, observable) in self.folded:
            edges[[0, -1]] = -np.inf, np.inf
        return edges

    def outside(self, channel: str, observable: str) -> dict[str, tuple[float, float]]:
        """Return the fractions of each simulated process below and above the edges."""
        flows = self._flows(channel, observable)
        return {
            process: (float(below / total), float(above / total))
            for process, (below, above, total) in flows.items()
            if total > 0
        }

    def far_outside(self, channel: str, observable: str) -> dict[str, tuple[float, float]]:
        """Return those of `outside` of which more than a little is there."""
        fractions = self.outside(channel, observable)
        return {name: one for name, one in fractions.items() if max(map(abs, one)) > MOST_OUTSIDE}

    def _flows(self, channel: str, observable: str) -> dict[str, npt.NDArray[np.float64]]:
        """Events of each simulated process below and above the edges, and in all."""
        histogram = self.histograms[channel, observable]
        values = np.asarray(histogram.values(flow=True))
        rows = list(histogram.axes["process"])
        column = list(histogram.axes["variation"]).index(NOMINAL)
        contents = {name: values[:, rows.index(name), column] for name in self.mc_processes}
        return {name: np.asarray([v[0], v[-1], v.sum()]) for name, v in contents.items()}

    def variations(self, process: str) -> tuple[str, ...]:
        """Labels that were evaluated for a process, the nominal first."""
        if process not in self.varied:
            raise InputError(f"unknown process {process!r}; {nearest(process, self.varied)}")
        return (NOMINAL, *self.varied[process])

    def slice(
        self, channel: str, observable: str, process: str, variation: str = NOMINAL
    ) -> hist.Hist[Any]:
        """One process and variation as a histogram with the observable's axis only."""
        part = self._slice(channel, observable, process, variation)
        return _folded(part) if (channel, observable) in self.folded else part

    def _slice(
        self, channel: str, observable: str, process: str, variation: str = NOMINAL
    ) -> hist.Hist[Any]:
        if observable not in self.observables(channel):
            self.histogram(channel, observable)  # which says what is known
        if variation not in self.variations(process):
            variation = NOMINAL
        part = self.histograms[channel, observable][:, hist.loc(process), hist.loc(variation)]
        assert isinstance(part, hist.Hist)
        return part

    def yields(self, channel: str) -> dict[str, Yield]:
        """Nominal yield of each process: all bins, under- and overflow included.

        Each selected event is in some bin, so this is the last row of the cutflow whichever
        observable is summed; the first one is.
        """
        observable = self.observables(channel)[0]
        result = {}
        for process in self.processes:
            view: Any = self._slice(channel, observable, process).view(flow=True)
            result[process] = Yield(
                float(view["value"].sum()), float(view["variance"].sum() ** 0.5)
            )
        return result


@dataclass(frozen=True)
class Theory:
    """What one dataset has besides its variations.

    Parameters
    ----------
    members
        By histogram, weights that become one up and one down variation of their source.
    norms
        Factor of variations and members that are normalised, by label.
    """

    members: Mapping[HistogramKey, MemberSums] = field(default_factory=dict)
    norms: Mapping[str, float] = field(default_factory=dict)


def make_book(
    sums: Mapping[str, Mapping[HistogramKey, HistogramSums]],
    scale: Mapping[str, float],
    process_of: Mapping[str, str],
    observables: Mapping[HistogramKey, tuple[Iterable[float], str]],
    data_processes: Iterable[str] = (),
    theory: Mapping[str, Theory] | None = None,
) -> Book:
    """Normalise the sums of all datasets and add them into processes.

    Parameters
    ----------
    sums
        Dataset to its histograms; datasets are added in this order.
    scale
        Dataset to the factor of its weights, xsec · lumi / sumw, 1 for data.
    process_of
        Dataset to process.
    observables
        Edges and axis label of each histogram; one that a dataset lacks is empty there.
    data_processes
        Processes that are collision data.
    theory
        Dataset to its members and norms. The members of a process are added up over its datasets,
        then combined.

    Returns
    -------
    Book
        A variation that one dataset of a process lacks is that dataset's nominal.
    """
    data = tuple(data_processes)
    of_theory = {dataset: (theory or {}).get(dataset, Theory()) for dataset in sums}
    varied = _varied(sums, process_of, data, of_theory)
    axis = list(dict.fromkeys(name for names in varied.values() for name in names))
    histograms = {}
    for key, (edges, label) in observables.items():
        histogram = hist.Hist(
            hist.axis.Variable(list(edges), name=key[1], label=label),
            hist.axis.StrCategory(list(varied), name="process", overflow=False),
            hist.axis.StrCategory([NOMINAL, *axis], name="variation", overflow=False),
            storage=hist.storage.Weight(),
        )
        view: Any = histogram.view(flow=True)
        for dataset, booked in sums.items():
            if key not in booked:
                continue
            process = process_of[dataset]
            row = list(varied).index(process)
            rounded = booked[key].rounded()
            labels = [NOMINAL] if process in data else [NOMINAL, *axis]
            for column, variation in enumerate(labels):
                sumw, sumw2 = rounded.get(variation, rounded[NOMINAL])
                norm = of_theory[dataset].norms.get(variation, 1.0) if variation in rounded else 1.0
                view["value"][:, row, column] += sumw * (scale[dataset] * norm)
                view["variance"][:, row, column] += sumw2 * (scale[dataset] * norm) ** 2
        for process in varied:
            datasets = [name for name in sums if process_of[name] == process]
            for label, shift in _combined(key, datasets, scale, of_theory).items():
                _shift(view[:, list(varied).index(process), :], [NOMINAL, *axis], label, shift)
        histograms[key] = histogram
    return Book(histograms, varied, tuple(name for name in data if name in varied))


def _combined(
    key: HistogramKey,
    datasets: Iterable[str],
    scale: Mapping[str, float],
    theory: Mapping[str, Theory],
) -> dict[str, FloatArray]:
    """Return by label what each source that has members adds to the nominal bins of a process."""
    groups: dict[tuple[str, str], dict[str, FloatArray]] = {}
    for dataset in datasets:
        members = theory[dataset].members.get(key)
        for label, sumw in {} if members is None else members.rounded().items():
            source, group, name = label.split("/")
            factor = scale[dataset] * theory[dataset].norms.get(label, 1.0)
            bins = groups.setdefault((source, group), {})
            bins[name] = bins.get(name, 0.0) + sumw * factor
    shifts: dict[str, FloatArray] = {}
    for (source, group), bins in groups.items():
        nominal = bins.pop(NOMINAL)
        for side, shift in zip(("up", "down"), combined(group, nominal, bins), strict=True):
            label = f"{source}_{side}"
            shifts[label] = shifts.get(label, 0.0) + shift
    return shifts


def _shift(view: Any, labels: list[str], label: str, shift: FloatArray) -> None:
    """Move a variation off the nominal bins, where it is; the relative error stays."""
    column, nominal = labels.index(label), view["value"][:, 0]
    value = nominal + shift
    ratio = np.divide(value, nominal, out=np.ones_like(value), where=nominal != 0)
    view["value"][:, column] = value
    view["variance"][:, column] = view["variance"][:, 0] * ratio**2


def _folded(histogram: hist.Hist[Any]) -> hist.Hist[Any]:
    """Add what lies outside to the first and the last bin of the first axis."""
    result = histogram.copy()
    view: Any = result.view(flow=True)
    for part in ("value", "variance"):
        contents = view[part]
        contents[1] += contents[0]
        contents[-2] += contents[-1]
        contents[0], contents[-1] = 0.0, 0.0
    return result


def _varied(
    sums: Mapping[str, Mapping[HistogramKey, HistogramSums]],
    process_of: Mapping[str, str],
    data_processes: tuple[str, ...],
    theory: Mapping[str, Theory],
) -> dict[str, tuple[str, ...]]:
    """All evaluated labels of each process, without nominal, in order of appearance."""
    labels: dict[str, dict[str, None]] = {}
    for dataset, booked in sums.items():
        process = process_of[dataset]
        of_process = labels.setdefault(process, {})
        if process not in data_processes:
            names = (name for one in booked.values() for name in one.variations)
            of_process.update(dict.fromkeys(name for name in names if name != NOMINAL))
            of_members = theory[dataset].members.values()
            sources = [label.split("/")[0] for one in of_members for label in one.labels]
            for source in dict.fromkeys(sources):
                of_process.update(dict.fromkeys((f"{source}_up", f"{source}_down")))
    return {process: tuple(of_process) for process, of_process in labels.items()}


DIRECTIONS = ("up", "down")


def uncertainty_sources(book: Book, processes: Iterable[str]) -> tuple[str, ...]:
    """All sources of which at least one of the processes has a variation, in the book's order."""
    names: dict[str, None] = {}
    for process in processes:
        for variation in book.variations(process):
            source, _, direction = variation.rpartition("_")
            if source and direction in DIRECTIONS:
                names[source] = None
    return tuple(names)


def shifts(
    book: Book, channel: str, observable: str, processes: Iterable[str]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Change of the summed processes under each source.

    Parameters
    ----------
    book, channel, observable
        What is looked at.
    processes
        Those that are summed: their shifts by one source are fully correlated.

    Returns
    -------
    dict
        Source to (down, up), varied minus nominal, each of shape (n_bins,) without flow. A
        direction that was not evaluated is 0.
    """
    names = tuple(processes)
    histogram = book.histogram(channel, observable)
    values = np.asarray(histogram.values())  # to slice a histogram takes a thousand times as long
    rows = {name: list(histogram.axes["process"]).index(name) for name in names}
    columns = {label: column for column, label in enumerate(histogram.axes["variation"])}
    result = {}
    for source in uncertainty_sources(book, names):
        by_direction = {direction: np.zeros(len(values)) for direction in DIRECTIONS}
        for direction, total in by_direction.items():
            label = f"{source}_{direction}"
            for name in names:
                if label in book.varied[name]:
                    of_process = values[:, rows[name]]
                    total += of_process[:, columns[label]] - of_process[:, columns[NOMINAL]]
        result[source] = (by_direction["down"], by_direction["up"])
    return result


def total_uncertainty(
    book: Book, channel: str, observable: str, processes: Iterable[str]
) -> tuple[FloatArray, FloatArray]:
    """Statistical ⊕ systematic uncertainty of the sum of processes.

    Each source adds its upward change in quadrature to `up` and its downward one to `down`,
    whichever of its two variations gives it (where both go one way, the larger counts once).

    Returns
    -------
    down, up : shape (n_bins,)
        Positive distances from the nominal sum, without flow bins.
    """
    names = tuple(processes)
    statistical = np.zeros(book.histogram(channel, observable).axes[0].size)
    for name in names:
        variances = book.slice(channel, observable, name).variances()
        assert variances is not None  # the storage is Weight
        statistical += variances
    down2, up2 = statistical.copy(), statistical.copy()
    for low, high in shifts(book, channel, observable, names).values():
        up2 += np.maximum(np.maximum(low, high), 0.0) ** 2
        down2 += np.minimum(np.minimum(low, high), 0.0) ** 2
    return np.sqrt(down2), np.sqrt(up2)

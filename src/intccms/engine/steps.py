"""Which events of a chunk come how far, with their generator weights: the rows of the cutflow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intccms.errors import BadContentError
from intccms.functors.calls import Selection, as_flat
from intccms.functors.objects import Objects
from intccms.histograms.cutflow import CutflowSums
from intccms.histograms.exact import ExactSums
from intccms.histograms.members import MemberSums, WeightSums
from intccms.histograms.spectrum import WeightSpectrum

__all__ = ["GeneratorWeight", "Index", "Steps", "Weights", "Whole"]

LARGEST = 1e100  # of a weight; that of its square is 1e200, and sums end at 1e308

Index = NDArray[np.int64]
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Whole:
    """What is known of all events of a chunk of which a skim has kept some.

    Parameters
    ----------
    sumw
        Generator weights of all of them.
    weights
        Titles and sums of their other weights.
    spectrum
        How these are spread; None where that is not known.
    is_selected
        Whether those at hand are the ones that pass the skim selection.
    """

    n_events: int
    sumw: ExactSums
    spectrum: WeightSpectrum | None = None
    is_selected: bool = True
    weights: WeightSums = field(default_factory=lambda: WeightSums({}, MemberSums.nothing()))


@dataclass(frozen=True)
class GeneratorWeight:
    """What each event of a chunk counts before any correction.

    Parameters
    ----------
    branch
        By its name in the file, also of a column that belongs to a group: ``Generator_weight``;
        None for data, where the weight is 1.
    clip
        Larger weights count as this; None: there is no bound.
    first_entry
        Where the chunk begins in its file, for the error.
    """

    branch: str | None
    clip: float | None = None
    first_entry: int = 0

    def of(self, objects: Objects) -> tuple[Weights, WeightSpectrum | None]:
        """Return the weights of events, and for simulation how they are spread.

        Raises
        ------
        BadContentError
            If one is not finite, or so large that its square cannot be added up.
        """
        branch = self.branch
        if branch is None:
            return np.ones(objects.n), None
        weight = as_flat(objects.branch(branch), objects.n, branch).astype(np.float64)
        bad = np.flatnonzero(~(np.abs(weight) < LARGEST))
        if len(bad):
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            value, entry = weight[bad[0]], self.first_entry + bad[0]
            raise BadContentError(f"bad content: {branch} is {value:g} at entry {entry}{more}")
        if self.clip is None:
            return weight, WeightSpectrum.of(weight)
        n_clipped = int(np.count_nonzero(np.abs(weight) > self.clip))
        weight = np.clip(weight, -self.clip, self.clip)
        return weight, WeightSpectrum.of(weight, n_clipped)


class Steps:
    """Counts, cut by cut, how far each event of a chunk comes.

    Parameters
    ----------
    n, gen_weight
        Events at hand, and the weight of each.
    whole
        Where these are those of a skim: what they were taken from.
    """

    def __init__(self, n: int, gen_weight: Weights, whole: Whole | None = None) -> None:
        self.gen_weight, self.whole = gen_weight, whole
        self._names = ["all events"]
        self._depth = np.ones(n, dtype=np.intp)

    def keep(self, name: str, events: Index) -> None:
        """Add one cut that `events` pass."""
        self._names.append(name)
        self._depth[events] += 1

    def add(self, selection: Selection, events: Index, name: str) -> None:
        """Add the named cuts of a selection of `events`, one after the other."""
        alive = np.ones(len(events), dtype=np.bool_)
        for cut, mask in (selection.steps() or {name: selection.mask}).items():
            alive &= mask
            self.keep(cut if cut not in self._names else f"{name}: {cut}", events[alive])

    def flow(
        self, channel: str, selection: Selection, events: Index, weights: Weights
    ) -> CutflowSums:
        """Return the cutflow of one channel; its last step has all corrections in."""
        steps = Steps(len(self._depth), self.gen_weight)
        steps._names, steps._depth = list(self._names), self._depth.copy()
        steps.add(selection, events, channel)
        flow = CutflowSums.of(steps._names, steps._depth, self.gen_weight)
        if self.whole is not None:
            flow = flow.beginning_with(self.whole.n_events, self.whole.sumw)
        return flow.then("event weights", len(weights), ExactSums.total(weights))

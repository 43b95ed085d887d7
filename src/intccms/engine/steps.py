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

__all__ = ["Index", "Steps", "Weights", "Whole", "generator_weights"]

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
    is_selected
        Whether those at hand are the ones that pass the skim selection.
    """

    n_events: int
    sumw: ExactSums
    is_selected: bool = True
    weights: WeightSums = field(default_factory=lambda: WeightSums({}, MemberSums.nothing()))


def generator_weights(objects: Objects, branch: str | None, first_entry: int = 0) -> Weights:
    """Return the generator weights of all events; 1 for data, where `branch` is None.

    Parameters
    ----------
    objects
        The events.
    branch
        By its name in the file, also of a column that belongs to a group: ``Generator_weight``.
    first_entry
        Where the events begin in the file, for the error.

    Raises
    ------
    BadContentError
        If one is not finite, or so large that its square cannot be added up.
    """
    if branch is None:
        return np.ones(objects.n)
    weight = as_flat(objects.branch(branch), objects.n, branch).astype(np.float64)
    bad = np.flatnonzero(~(np.abs(weight) < LARGEST))
    if len(bad):
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        value, entry = weight[bad[0]], first_entry + bad[0]
        raise BadContentError(f"bad content: {branch} is {value:g} at entry {entry}{more}")
    return weight


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

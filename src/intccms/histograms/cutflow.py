"""Cut by cut: how many events are left and what weighted yield they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intccms.histograms.exact import ExactSums


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


Cutflow = dict[str, dict[str, list[CutStep]]]  # channel -> process -> steps


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
        kept = {level: sums[::-1].cumsum()[::-1][1:] for level, sums in levels.items()}
        return cls(tuple(names), tuple(int(n) for n in counts), ExactSums(size, kept))

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
        left, right = self._aligned(names), other._aligned(names)
        counts = tuple(a + b for a, b in zip(left.counts, right.counts, strict=True))
        return CutflowSums(names, counts, left.sumw + right.sumw)

    def _aligned(self, names: tuple[str, ...]) -> CutflowSums:
        if names == self.names:
            return self
        positions = [names.index(name) for name in self.names]
        counts = dict(zip(self.names, self.counts, strict=True))
        return CutflowSums(
            names,
            tuple(counts.get(name, 0) for name in names),
            self.sumw.placed(positions, len(names)),
        )

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Plain arrays that hold everything, for storage without pickle."""
        return {
            "names": np.array(self.names, dtype=np.str_),
            "counts": np.array(self.counts, dtype=np.int64),
        } | {f"sumw_{part}": array for part, array in self.sumw.to_arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> CutflowSums:
        """Read back what `to_arrays` gave."""
        sumw = ExactSums.from_arrays({part: arrays[f"sumw_{part}"] for part in ("levels", "sums")})
        names = tuple(str(name) for name in arrays["names"])
        return cls(names, tuple(int(n) for n in arrays["counts"].tolist()), sumw)


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

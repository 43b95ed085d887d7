"""What the functions of a configuration depend on when objects are shifted; traced once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intccms.engine.evaluation import MVA, Level
from intccms.functors.collections import Collection
from intccms.functors.columns import Column
from intccms.functors.cuts import CutOrigins, trace
from intccms.functors.dependencies import NONE, Origins, mark, needed
from intccms.functors.objects import Objects, overlaps
from intccms.schema import Channel, Config, Functor, ObjectMask, ObjVar

__all__ = ["Traces", "held", "trace_functions"]

SAMPLE = 64  # events that the functions are run on


@dataclass
class Traces:
    """For each function the shifted columns that its answer depends on.

    Parameters
    ----------
    touched
        Columns that at least one shift changes.
    collections
        What decides which objects a collection holds: `held`, where its mask may answer otherwise,
        or for a ghost all shifted columns.
    baseline, channels
        Of the selections.
    """

    touched: Origins
    collections: dict[str, Origins] = field(default_factory=dict)
    baseline: CutOrigins = field(default_factory=lambda: CutOrigins(NONE, {}))
    channels: dict[str, CutOrigins] = field(default_factory=dict)

    @property
    def moving(self) -> Origins:
        """What a shift can change: columns, and which objects there are."""
        return self.touched.union(*self.collections.values())

    def reaches(self, refs: Iterable[ObjVar]) -> bool:
        """Say whether a shift can change any of `refs`."""
        return any(
            self.collections.get(ref.obj) or any(overlaps(ref, other) for other in self.touched)
            for ref in refs
        )

    def affected(self, masks: Sequence[ObjectMask]) -> set[str]:
        """Return the collections that differ between shifts, once `masks` are applied."""
        names = {ref.obj for ref in self.touched}
        for mask in masks:
            if self.reaches(mask.use) or names & {ref.obj for ref in mask.use}:
                names.add(mask.object)
        return names

    def masks_are_fixed(self, masks: Sequence[ObjectMask]) -> bool:
        """Say whether no shift changes which objects are good."""
        return not any(self.collections.get(mask.object) for mask in masks)

    def run(self, functor: Functor, objects: Objects) -> CutOrigins:
        """Trace one function on `objects`."""
        if not self.reaches(functor.use):
            return CutOrigins(NONE, {})
        if objects.n == 0:  # a function may take another path when there is no event
            return CutOrigins(self.moving, {})
        return trace(functor, self._marked(functor, objects), self.moving)

    def _marked(self, functor: Functor, objects: Objects, unmasked: str = "") -> list[Any]:
        held = {name: which for name, which in self.collections.items() if name != unmasked}
        return [
            mark(objects.column(ref), ref, self.touched, held.get(ref.obj, NONE))
            for ref in functor.use
        ]

    def needed(self, masks: Sequence[ObjectMask], stages: Sequence[Objects]) -> dict[str, Column]:
        """Say of collections which objects may be good in some shift, where that is known.

        The mask asks something of each of them alone that no shift changes, and no mask before it
        looks at those that lack it.

        Parameters
        ----------
        stages
            Objects before each mask.
        """
        seen, found = {ref.obj for ref in self.touched if ref.field is None}, dict[str, Column]()
        for mask, objects in zip(masks, stages, strict=False):
            name = mask.object
            lists = objects[name].lists if isinstance(objects[name], Collection) else None
            if name not in seen and self.collections.get(name) and lists is not None:
                parts = needed(mask, self._marked(mask, objects, name), self.moving)
                if all(isinstance(p, Column) and p.matches(lists) for p in parts) and parts:
                    values = np.logical_and.reduce([part.values for part in parts])
                    found[name] = Column(values, lists)
            seen |= {name, *(ref.obj for ref in mask.use)}
        return found


def trace_functions(
    config: Config,
    channels: Sequence[Channel],
    touched: Origins,
    *,
    stages: Sequence[Objects],
    level: Level,
) -> Traces:
    """Run every mask and selection once on a few events.

    Parameters
    ----------
    config, channels
        The functions.
    touched
        Columns that a shift changes.
    stages
        Objects before each analysis mask, and after the last.
    level
        Objects of events past the nominal baseline, ghosts attached.
    """
    again = {ref.obj: frozenset({ref}) for ref in touched if ref.field is None}  # sorted
    traces = Traces(touched, again)
    for mask, objects in zip(config.good_object_masks.analysis, stages, strict=False):
        if traces.run(mask, _few(objects)).origins & traces.moving:
            before = traces.collections.get(mask.object, NONE)
            traces.collections[mask.object] = before | {held(mask.object)}
    for mask in config.good_object_masks.mva:  # they see collections of the same names
        if traces.reaches(mask.use):
            traces.collections[mask.object] = touched
    if config.baseline_selection is not None:
        traces.baseline = traces.run(config.baseline_selection, _few(stages[-1]))
    few = _few(level.objects)
    for ghost in config.ghost_observables:
        if traces.reaches(ghost.use) or MVA in ghost.collections:
            traces.collections.update(dict.fromkeys(ghost.collections, touched))
    for channel in channels:
        if channel.selection is not None:
            traces.channels[channel.name] = traces.run(channel.selection, few)
    return traces


def held(name: str) -> ObjVar:
    """Stand for the question which objects a collection holds."""
    return ObjVar(name, "[]")


def _few(objects: Objects) -> Objects:
    return objects.take(np.arange(min(objects.n, SAMPLE)))

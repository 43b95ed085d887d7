"""From corrected objects to rows of channels: masks, baseline, derived columns, selections.

The same code serves the nominal events and the batch of all object variations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from chunkcolumns import Collection, Column, as_column
from intccms.engine.calls import Selection, as_flat, selection_of
from intccms.engine.objects import Objects, dtype_of
from intccms.errors import FunctorError
from intccms.schema import Channel, Config, Functor, GhostObservable, ObjectMask

Call = Callable[[Functor, str, Objects], Any]
MVA = "mva"  # derived columns in this collection see the objects of the `mva` masks


@dataclass(frozen=True)
class Level:
    """Objects as the functions see them: those of the analysis masks and of the mva masks."""

    objects: Objects
    mva: Objects

    def kept(self, mask: NDArray[np.bool_]) -> Level:
        """Return the events for which `mask` is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def take(self, index: NDArray[np.int64]) -> Level:
        """Return both at `index`."""
        objects = self.objects.take(index)
        return Level(objects, objects if self.mva is self.objects else self.mva.take(index))


@dataclass(frozen=True)
class Nominal:
    """The nominal objects of a chunk at every step that a shift may have to start from.

    Parameters
    ----------
    corrected
        Before each object correction and after the last (`shifts.correct`).
    stages, mva_stages
        Before each mask and after the last (`evaluation.apply_masks`).
    good
        By collection, what the analysis masks on it answered, one after the other.
    """

    corrected: list[Objects]
    stages: list[Objects]
    mva_stages: list[Objects]
    good: dict[str, list[Any]]

    @property
    def level(self) -> Level:
        """Objects past all masks."""
        return Level(self.stages[-1], self.mva_stages[-1])


def apply_masks(
    objects: Objects, masks: Sequence[ObjectMask], call: Call, key: str
) -> tuple[list[Objects], dict[str, list[Any]]]:
    """Keep the good objects, mask after mask; a later one sees what the earlier ones left.

    Returns
    -------
    list of Objects
        Before the first mask, and after each.
    dict
        By collection, what its masks answered.
    """
    stages, answers = [objects], dict[str, list[Any]]()
    for i, mask in enumerate(masks):
        good = call(mask, f"{key}[{i}] ({mask.object})", stages[-1])
        stages.append(stages[-1].replaced({mask.object: masked(stages[-1], mask, good)}))
        answers.setdefault(mask.object, []).append(as_column(good))
    return stages, answers


def masked(objects: Objects, mask: ObjectMask, good: Any) -> ak.Array:
    """Return the objects of the collection of `mask` that are `good`.

    Raises
    ------
    FunctorError
        If the mask has not one boolean for each object.
    """
    collection = objects[mask.object]
    if isinstance(good, ak.Array):  # such as a comparison with `ak.max`, where no object is
        good = ak.fill_none(good, [], axis=0)
    lean_ones = isinstance(good, Column) and isinstance(collection, Collection)
    if lean_ones and good.matches(collection.lists) and good.values.dtype == np.bool_:
        return collection[good]
    jagged = isinstance(good, ak.Array) and good.ndim == collection.ndim == 2
    if (
        not jagged
        or dtype_of(good) != np.bool_
        or ak.any(ak.is_none(good, axis=1))
        or not ak.array_equal(ak.num(good), ak.num(collection))
    ):
        raise FunctorError(
            f"the mask of {mask.object} is not one boolean for each object, it is {ak.type(good)}"
        )
    return collection[good]


def select(spec: Functor | None, key: str, objects: Objects, call: Call) -> Selection:
    """Evaluate a selection; without one every event passes."""
    if spec is None:
        return Selection(np.ones(objects.n, dtype=np.bool_), {})
    return selection_of(call(spec, key, objects), objects.n, key)


def with_derived(level: Level, config: Config, call: Call) -> Level:
    """Attach the derived columns, each seeing those before it.

    Where the mva masks make another collection, a column of the analysis objects is not for it.
    """
    objects, mva = level.objects, level.mva
    masks = config.good_object_masks
    own = {mask.object for mask in (*masks.analysis, *masks.mva)} if masks.mva else set()
    for i, derived in enumerate(config.ghost_observables):
        key = f"ghost_observables[{i}] ({', '.join(derived.names)})"
        for_mva = set(derived.collections) == {MVA}
        answer = call(derived, key, mva if for_mva else objects)
        columns = {
            collection: _attached(objects, collection, fields, key)
            for collection, fields in _named(answer, derived, key).items()
        }
        objects = objects.replaced(columns)
        mva = mva.replaced({name: new for name, new in columns.items() if name not in own})
    return Level(objects, mva)


def _named(answer: Any, derived: GhostObservable, key: str) -> dict[str, dict[str, Any]]:
    if isinstance(answer, dict):
        answer = [answer[name] for name in derived.names if name in answer]
    parts = answer if isinstance(answer, tuple | list) else [answer]
    if len(parts) != len(derived.names):
        raise FunctorError(f"{key}: {len(derived.names)} columns are named: {list(derived.names)}")
    columns: dict[str, dict[str, Any]] = {}
    for name, collection, part in zip(derived.names, derived.collections, parts, strict=True):
        columns.setdefault(collection, {})[name] = part
    return columns


def _attached(objects: Objects, collection: str, fields: dict[str, Any], key: str) -> ak.Array:
    arrays = {name: _column(values, objects.n, f"{key}: {name}") for name, values in fields.items()}
    if not objects.has(collection):
        return ak.zip(arrays, depth_limit=1)
    old = objects[collection]
    for name, values in arrays.items():
        try:
            old = ak.with_field(old, values, name)
        except ValueError as exc:
            what = f"is {ak.type(values)}, which does not fit {ak.type(old)}"
            raise FunctorError(f"{key}: {name} {what}") from exc
    return old


def _column(values: Any, n: int, key: str) -> ak.Array:
    """Return what a function gave for `n` events as an array of one kind of thing."""
    try:
        found = ak.Array(values)
    except (TypeError, ValueError) as exc:
        raise FunctorError(f"{key} is no array but a {type(values).__name__}") from exc
    if len(found) != n:
        raise FunctorError(f"{key} has {len(found)} entries for {n} events")
    if _is_mixed(found.layout.form):
        raise FunctorError(f"{key} is {ak.type(found)}: a column holds one kind of thing, no union")
    return found


def _is_mixed(form: Any) -> bool:
    inner = form.contents if form.is_record else [form.content] if hasattr(form, "content") else []
    return bool(form.is_union) or any(_is_mixed(one) for one in inner)


def channel_rows(
    level: Level, config: Config, channels: Sequence[Channel], call: Call
) -> tuple[Level, list[tuple[Channel, Selection]]]:
    """Add derived columns and evaluate the channels' selections on events past the baseline."""
    level = with_derived(level, config, call)
    return level, [
        (channel, select(channel.selection, f"channels.{channel.name}", level.objects, call))
        for channel in channels
    ]


def observable_values(spec: Functor, key: str, objects: Objects, call: Call) -> NDArray[Any]:
    """Evaluate an observable; one number per event."""
    return as_flat(call(spec, key, objects), objects.n, key)

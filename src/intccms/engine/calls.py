"""Calling the functions of a user on the arrays that they declare, and checking what comes back."""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection
from numpy.typing import NDArray

from chunkcolumns import Collection, Column, as_column, plain
from intccms.engine.objects import Objects, dtype_of
from intccms.errors import FunctionError, IntccmsError, MissingColumnError
from intccms.execution.failures import describe, is_read_failure, user_code
from intccms.fingerprint.watching import Watch
from intccms.schema import Channel, Config, DerivedColumn, FunctionSpec, ObjectMask, ObjVar


def check_independence(
    function: Callable[..., Any],
    key: str,
    inputs: Sequence[Any],
    kwargs: Mapping[str, Any],
    answer: Any,
) -> None:
    """Call `function` on both halves of the events and compare with its `answer` for all.

    Parameters
    ----------
    function, key
        The user's function and where it stands in the configuration.
    inputs, kwargs
        What it was called with.

    Raises
    ------
    FunctionError
        If an event's answer changes when other events are in the array.
    """
    lengths = {len(item) for item in inputs if _is_array(item)}
    if len(lengths) != 1 or (n := lengths.pop()) < 2:
        return
    for half in (slice(0, n // 2), slice(n // 2, n)):
        some = [item[half] if _is_array(item) else item for item in inputs]
        alone = _parts(function(*some, **kwargs))
        for name, expected_all in _parts(answer).items():
            if _is_array(expected_all) and len(expected_all) != n:
                continue  # another check tells of the length
            expected = expected_all[half] if _is_array(expected_all) else expected_all
            if name not in alone or not _same(expected, alone[name]):
                what = f" ({name})" if name else ""
                raise FunctionError(
                    f"{key}{what}: its answer for an event changes when other events are in the "
                    "array (general.check_functors); it must treat events independently"
                )


def _is_array(item: Any) -> bool:
    return isinstance(item, ak.Array) or (isinstance(item, np.ndarray) and item.ndim > 0)


def _parts(answer: Any) -> dict[str, Any]:
    if isinstance(answer, PackedSelection):
        return {name: answer.all(name) for name in answer.names}
    if isinstance(answer, dict):
        return {str(name): part for name, part in answer.items()}
    if isinstance(answer, tuple | list):
        return {f"answer {i}": part for i, part in enumerate(answer)}
    return {"": answer}


def _same(one: Any, two: Any) -> bool:
    if _is_array(one) != _is_array(two):
        return False
    if not _is_array(one):
        return bool(one == two)
    options = {"equal_nan": True, "check_parameters": False, "check_regular": False}
    return bool(ak.array_equal(ak.Array(one), ak.Array(two), dtype_exact=False, **options))


MT19937_BYTES = 2500  # 624 words and the position; only this generator can be seeded


@dataclass
class Caller:
    """Calls user functions for one chunk; knows the seed that numpy's global generator gets.

    Parameters
    ----------
    seed
        32-bit seed from the dataset, the original file's uuid and its first entry, so that a
        function that draws random numbers sees the same ones in every variation.
    """

    seed: int
    drew: bool = False  # whether a function has drawn from numpy's global generator
    n_draws: int = 0  # calls that did, and are never forgotten
    is_checked: bool = False  # whether each function is asked again with half of the events
    is_plain: bool = False  # whether functions get awkward's own arrays, not `chunkcolumns`

    @classmethod
    def of_chunk(cls, dataset: str, uuid: str, entry_start: int) -> Caller:
        """Make the caller of the chunk of `dataset` that begins at `entry_start`."""
        digest = hashlib.sha256(f"{dataset}/{uuid}/{entry_start}".encode()).digest()
        return cls(int.from_bytes(digest[:4], "little"))

    def evaluate(self, spec: FunctionSpec, key: str, objects: Objects) -> Any:
        """Call `spec` with the columns it uses, taken from `objects`."""
        inputs = [objects.column(ref) for ref in spec.use]
        return self.call(spec.function, key, inputs, spec.static_kwargs, spec.use)

    def call(
        self,
        function: Callable[..., Any],
        key: str,
        inputs: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        use: tuple[Any, ...] = (),
    ) -> Any:
        """Call `function`; its own exception becomes a `FunctionError` that names `key`.

        Raises
        ------
        FunctionError
            If the function fails for a reason of its own.
        MissingColumnError
            If it asked an input for a field that the file does not have.
        """
        if self.is_plain:
            inputs = [plain(x) for x in inputs]
        # a function may set a column that no other function sees
        inputs = [copy(x) if isinstance(x, ak.Array) and x.fields else x for x in inputs]
        np.random.seed(self.seed)  # noqa: NPY002 - what the user's function draws from
        fresh = _generator_position()
        try:
            with user_code(key, function), Watch(function, key, kwargs):
                answer = _answer(function, inputs, kwargs or {})
            if _generator_position() != fresh:
                self.drew = True
                self.n_draws += 1
            elif self.is_checked:
                check_independence(function, key, inputs, kwargs or {}, answer)
            return answer
        except (IntccmsError, MemoryError):
            raise
        except Exception as exc:
            missing = _missing_field(exc, inputs, use)
            if missing:
                raise MissingColumnError(f"{key} needs {missing}, which is not there") from exc
            if is_read_failure(exc):
                raise
            what = f"{key}: {type(exc).__name__}: {describe(exc)}"
            if re.search("read-?only|writeable", str(exc), re.IGNORECASE):
                what += "; other functions see the same array: write to a copy of it, np.array(x)"
            raise FunctionError(what) from exc


def _answer(function: Callable[..., Any], inputs: list[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a function; numba may not take what is not read yet, or what is shared."""
    try:
        return function(*inputs, **kwargs)
    except TypeError as exc:
        if "fully materialized" in str(exc):
            change: Callable[[Any], Any] = ak.materialize
        elif "No matching definition" in str(exc) and "readonly array" in str(exc):
            change = deepcopy
        else:
            raise
    changed = [change(plain(x)) if isinstance(x, ak.Array | np.ndarray) else x for x in inputs]
    return function(*changed, **kwargs)


def _generator_position() -> bytes:
    """Return the state of numpy's global generator: `get_state` takes 1,000 times as long."""
    address = np.random.get_bit_generator().ctypes.state_address  # type: ignore[attr-defined]
    return ctypes.string_at(address, MT19937_BYTES)


def _missing_field(exc: Exception, inputs: list[Any], use: tuple[Any, ...]) -> str | None:
    """Name ``Collection.field`` when `exc` says that an input lacks a field."""
    text = str(exc)
    if not isinstance(exc, AttributeError | IndexError | KeyError) or "no field" not in text:
        return None
    asked = ak.fields(exc.obj) if isinstance(exc, AttributeError) else None
    for ref, array in zip(use, inputs, strict=False):
        known = ak.fields(array) if isinstance(array, ak.Array) else []
        if not isinstance(ref, ObjVar) or not known or asked not in (None, known):
            continue
        for field in text.replace('"', "'").split("'")[1::2]:  # what is quoted
            if field not in known:
                return f"{ref.obj}.{field}"
    return None


@dataclass(frozen=True)
class Selection:
    """Answer of a selection function.

    Parameters
    ----------
    mask : shape (n_events,)
        Events that pass: the last named cut, or the boolean array itself.
    cuts
        Every named cut in the order it was added, the last one included; empty for an array.
    """

    mask: NDArray[np.bool_]
    cuts: dict[str, NDArray[np.bool_]]

    def steps(self) -> dict[str, NDArray[np.bool_]]:
        """Return the cuts to show one after the other: those that the last one implies."""
        *names, _ = self.cuts or {"": self.mask}
        return {name: self.cuts[name] for name in names}


def selection_of(answer: Any, n: int, key: str) -> Selection:
    """Turn what a selection function returned into a `Selection`.

    Raises
    ------
    FunctionError
        If the answer is neither a filled PackedSelection nor a boolean array of length `n`.
    """
    if isinstance(answer, PackedSelection):
        if not answer.names:
            raise FunctionError(f"{key}: the PackedSelection it returned holds no cut")
        cuts = {name: as_flat(answer.all(name), n, key) for name in answer.names}
        return Selection(cuts[answer.names[-1]], cuts)
    mask = as_flat(answer, n, key)
    if mask.dtype != np.bool_:
        raise FunctionError(f"{key}: a selection returns booleans, this one gave {mask.dtype}")
    return Selection(mask, {})


def as_flat(answer: Any, n: int, key: str) -> NDArray[Any]:
    """Return `answer` as a NumPy array of one value per event.

    Raises
    ------
    FunctionError
        If it is jagged, has missing values or another length than `n`; names `key`.
    """
    if isinstance(answer, Column) and answer.lists is None and len(answer) == n:
        return answer.values
    if np.isscalar(answer):
        return np.full(n, answer)
    if isinstance(answer, ak.Array) and answer.ndim > 1:
        raise FunctionError(f"{key}: one value per event is needed, it returned {answer.type}")
    try:
        flat = np.asarray(ak.to_numpy(answer, allow_missing=False))
    except (ValueError, TypeError) as exc:
        raise FunctionError(f"{key}: one value per event is needed: {describe(exc)}") from exc
    if flat.shape != (n,):
        raise FunctionError(f"{key}: {n} events went in, an array of shape {flat.shape} came out")
    if flat.dtype.kind not in "biuf":
        raise FunctionError(f"{key}: one number per event is needed, it returned {flat.dtype}")
    return flat


Call = Callable[[FunctionSpec, str, Objects], Any]
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
    """The nominal objects of a chunk at every step from which an object systematic may start.

    Parameters
    ----------
    corrected
        Before each object correction and after the last (`object_corrections.correct`).
    stages, mva_stages
        Before each mask and after the last (`apply_masks`).
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
    FunctionError
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
        raise FunctionError(
            f"the mask of {mask.object} is not one boolean for each object, it is {ak.type(good)}"
        )
    return collection[good]


def select(spec: FunctionSpec | None, key: str, objects: Objects, call: Call) -> Selection:
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


def _named(answer: Any, derived: DerivedColumn, key: str) -> dict[str, dict[str, Any]]:
    if isinstance(answer, dict):
        answer = [answer[name] for name in derived.names if name in answer]
    parts = answer if isinstance(answer, tuple | list) else [answer]
    if len(parts) != len(derived.names):
        raise FunctionError(f"{key}: {len(derived.names)} columns are named: {list(derived.names)}")
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
            raise FunctionError(f"{key}: {name} {what}") from exc
    return old


def _column(values: Any, n: int, key: str) -> ak.Array:
    """Return what a function gave for `n` events as an array of one kind of thing."""
    try:
        column = ak.Array(values)
    except (TypeError, ValueError) as exc:
        raise FunctionError(f"{key} is no array but a {type(values).__name__}") from exc
    if len(column) != n:
        raise FunctionError(f"{key} has {len(column)} entries for {n} events")
    if _is_mixed(column.layout.form):
        raise FunctionError(f"{key} is {ak.type(column)}: one kind of thing is needed")
    return column


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


def observable_values(spec: FunctionSpec, key: str, objects: Objects, call: Call) -> NDArray[Any]:
    """Evaluate an observable; one number per event."""
    return as_flat(call(spec, key, objects), objects.n, key)

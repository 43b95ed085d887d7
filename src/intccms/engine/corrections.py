"""Scale factors and object corrections: from the declared inputs to a factor per event or object.

Reads correction files (once per process, as long as their content stays) and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
from correctionlib.highlevel import open_auto
from numpy.typing import NDArray

from chunkcolumns import Column, aligned
from intccms.engine.calls import Caller
from intccms.engine.objects import Objects
from intccms.errors import FunctionError, InputError, attempted, nearest
from intccms.execution.failures import describe
from intccms.fingerprint.digest import content_digest
from intccms.schema import Config, Correction, ObjVar, Sys, UncertaintySource
from intccms.schema.base import Constant
from intccms.schema.corrections import Direction

Words = dict[str, frozenset[str] | None]


def known_words(content: str) -> dict[str, Words]:
    """Return which words each input of each correction may be.

    Parameters
    ----------
    content
        The JSON of a correction set.

    Returns
    -------
    dict
        By correction and input: the keys of all categories of that input. None: other words have
        an answer too, or how the input is used cannot be told. The inputs of a compound correction
        are those of its parts.
    """
    correction_set = json.loads(content)
    single = {one["name"]: _words_of(one) for one in correction_set.get("corrections") or ()}
    compound = {
        one["name"]: _joined([single[name] for name in one["stack"] if name in single])
        for one in correction_set.get("compound_corrections") or ()
    }
    return single | compound


def _words_of(correction: Mapping[str, Any]) -> Words:
    words: dict[str, set[str]] = {}
    is_open: set[str] = set()
    for node in _nodes(correction["data"]):
        name = node.get("input")
        if node["nodetype"] == "category" and isinstance(name, str):
            words.setdefault(name, set()).update(str(entry["key"]) for entry in node["content"])
            if node.get("default") is not None:
                is_open.add(name)
        elif node["nodetype"] == "transform" and isinstance(name, str):
            is_open.add(name)  # what comes of the input is not what was given
    return {name: None if name in is_open else frozenset(keys) for name, keys in words.items()}


def _nodes(data: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all nodes of a tree; the content of a category stands in its entries."""
    if isinstance(data, list):
        for one in data:
            yield from _nodes(one)
    elif isinstance(data, Mapping):
        if "nodetype" in data:
            yield data
        for name in ("content", "value", "default", "rule"):
            yield from _nodes(data.get(name))


def _joined(several: list[Words]) -> Words:
    names = {name for words in several for name in words}
    joined: Words = {}
    for name in names:
        sets = [words[name] for words in several if name in words]
        known = [one for one in sets if one is not None]
        joined[name] = frozenset[str]().union(*known) if len(known) == len(sets) else None
    return joined


NEUTRAL = {"mult": 1.0, "add": 0.0, "subtract": 0.0}


@lru_cache(maxsize=64)
def _parsed(path: str, digest: str) -> correctionlib.CorrectionSet:
    corrections = correctionlib.CorrectionSet.from_file(path)
    if content_digest(path) != digest:
        raise OSError("it is being written")
    return corrections


def _load_set(path: str) -> correctionlib.CorrectionSet:
    corrections = attempted(lambda: _parsed(path, content_digest(path)))
    if isinstance(corrections, Exception):  # of gzip, zlib, JSON or correctionlib, each has its own
        reason = (
            getattr(corrections, "strerror", None)
            or f"{type(corrections).__name__}: {describe(corrections)}"
        )
        raise InputError(f"cannot read the correction file {path}: {reason}") from corrections
    return corrections


@lru_cache(maxsize=64)
def _words(path: str, digest: str) -> dict[str, Words]:
    return known_words(open_auto(path))


def load_evaluator(path: str, key: str) -> Any:
    """Return the (compound) correction `key` of a correctionlib JSON file.

    Raises
    ------
    InputError
        If the file cannot be read or has no such key; the nearest key is named.
    """
    corrections = _load_set(path)
    for known in (corrections, corrections.compound):
        if key in list(known):  # asked directly, it raises IndexError for a key that is not there
            return known[key]
    names = [*corrections, *corrections.compound]
    raise InputError(f"no correction {key!r} in {path}; {nearest(key, names)}")


def check_correction_files(config: Config, years: Sequence[str | None]) -> None:
    """Open every correction file and key that the datasets' years need.

    Raises
    ------
    InputError
        For the first file that cannot be read, key that is not there, or word for ``Sys()`` that
        the correction does not know.
    """
    for year in years:
        for correction in config.corrections_for(year):
            if correction.file is None:
                continue
            path = str(config.general.input_path(correction.file))
            own = correction.key if correction.use_correctionlib else None
            keys = [own, *(source.key for source in correction.uncertainty_sources)]
            for key in dict.fromkeys(key for key in keys if key):
                load_evaluator(path, key)
            _check_words(correction, path)


def _check_words(correction: Correction, path: str) -> None:
    """Look whether the words that stand for ``Sys()`` are among those that the file has."""
    asked: list[tuple[UncertaintySource | None, str, str, str]] = []
    if correction.use_correctionlib and correction.key:
        asked.append((None, correction.key, "nominal_idx", correction.nominal_idx))
    for source in correction.uncertainty_sources:
        key = source.key or correction.key
        if key and not source.has_function and source.members is None:
            place = f"uncertainty_sources.{source.name}.up_and_down_idx"
            asked += [(source, key, place, word) for word in source.up_and_down_idx]
    for one, key, place, word in asked:
        known = _words_for_sys(correction, one, path, key)
        if known is not None and word not in known:
            raise InputError(
                f"corrections.{correction.name}.{place}: {word!r} is no category of {key!r} in "
                f"{path}; {nearest(word, known)}"
            )


def _words_for_sys(
    correction: Correction, source: UncertaintySource | None, path: str, key: str
) -> frozenset[str] | None:
    """Return the categories of the input that ``Sys()`` stands for; None if that is not known."""
    args = correction.args_of(source)
    positions = [index for index, arg in enumerate(args) if isinstance(arg, Sys)]
    inputs = load_evaluator(path, key).inputs
    if (source and source.transform_in) or correction.transform_in:
        names = [one.name for one in inputs if one.type == "string"]
    elif len(args) == len(inputs):
        names = [inputs[index].name for index in positions]
    else:
        names = []
    if not positions or len(names) != 1:
        return None
    return _words(path, content_digest(path)).get(key, {}).get(names[0])


class Factors:
    """Evaluates corrections for one chunk.

    Parameters
    ----------
    input_path
        Turns a path of the configuration into one that can be opened.
    caller
        Calls the user's functions.
    """

    def __init__(self, input_path: Callable[[str], Any], caller: Caller) -> None:
        self._input_path = input_path
        self.caller = caller
        self._last: tuple[Any, Any] = (None, None)  # up and down may share what was evaluated
        self._evaluators: dict[tuple[str, str], Any] = {}  # the same for the whole chunk

    def nominal(self, correction: Correction, objects: Objects) -> Any:
        """Return the nominal factor of `correction`; the neutral one if it only has variations."""
        if correction.use_correctionlib and correction.key:
            return self._library(correction, None, objects, correction.nominal_idx)
        if correction.nominal_function is not None:
            return self._function(
                correction, None, objects, (correction.nominal_function, correction.nominal_idx)
            )
        return NEUTRAL[correction.op]

    def varied(
        self,
        correction: Correction,
        source: UncertaintySource,
        side: Direction,
        objects: Objects,
        *,
        on_top: bool = False,
    ) -> Any:
        """Return the factor with `source` moved to `side`, the nominal part included.

        A side without a function is the mirror of the other about the nominal. With `on_top` the
        nominal part is in the objects already and not in the factor.
        """
        position = 0 if side == "up" else 1
        functions = (source.up_function, source.down_function)
        index = source.up_and_down_idx[position]
        function = functions[position]
        if function is not None:
            value = self._function(correction, source, objects, (function, index))
        elif functions[1 - position] is not None:
            opposite: Direction = "down" if side == "up" else "up"
            other = self.varied(correction, source, opposite, objects, on_top=on_top)
            nominal = NEUTRAL[correction.op] if on_top else self.nominal(correction, objects)
            return 2.0 * nominal - other
        else:
            value = self._library(correction, source, objects, index)
            if _is_relative(correction, source):
                neutral = NEUTRAL[correction.op]
                value = neutral + value if side == "up" else neutral - value
        if on_top or not source.is_delta:
            return value
        nominal = self.nominal(correction, objects)
        return nominal * value if correction.op == "mult" else nominal + value

    def _library(
        self,
        correction: Correction,
        source: UncertaintySource | None,
        objects: Objects,
        systematic: str,
    ) -> Any:
        key = (source.key if source else None) or correction.key
        if correction.file is None or key is None:
            raise FunctionError(f"correction {correction.name!r} has no file and key to evaluate")
        has_sys = any(isinstance(arg, Sys) for arg in correction.args_of(source))
        word = systematic if has_sys else None
        asked = (objects, correction, source, key, word)
        if asked != self._last[0]:
            evaluator = self._evaluator(correction.file, key)

            def evaluate(*inputs: Any) -> Any:
                return _evaluate(evaluator, inputs)

            answer = self._function(correction, source, objects, (evaluate, systematic))
            self._last = (asked, answer)
        return self._last[1]

    def _evaluator(self, file: str, key: str) -> Any:
        if (file, key) not in self._evaluators:
            self._evaluators[file, key] = load_evaluator(str(self._input_path(file)), key)
        return self._evaluators[file, key]

    def _function(
        self,
        correction: Correction,
        source: UncertaintySource | None,
        objects: Objects,
        what: tuple[Callable[..., Any], str],
    ) -> Any:
        """Call ``transform_in``, the function and ``transform_out``, then reduce over objects."""
        function, systematic = what
        name = f"correction {correction.name!r}" + (f", source {source.name!r}" if source else "")
        args = correction.args_of(source)
        refs = tuple(arg for arg in args if isinstance(arg, ObjVar))
        originals = [objects.column(ref) for ref in refs]
        transform_in = (source and source.transform_in) or correction.transform_in
        transform_out = (source and source.transform_out) or correction.transform_out
        arrays = originals
        if transform_in is not None:
            answer = self.caller.call(transform_in, f"{name}: transform_in", originals, use=refs)
            arrays = list(answer) if isinstance(answer, tuple | list) else [answer]
        inputs = _arranged(args, arrays, systematic)
        value = self.caller.call(function, name, inputs, use=args)
        if transform_out is not None:
            value = self.caller.call(
                transform_out, f"{name}: transform_out", [value, *originals], use=(None, *refs)
            )
        if correction.reduce is None:
            return value
        if not isinstance(value, ak.Array) or value.ndim == 1:
            raise FunctionError(f"{name}: reduce {correction.reduce!r} needs a number per object")
        if isinstance(value, Column) and value.lists and (value.lists.counts == 1).all():
            return value.values
        return (ak.prod if correction.reduce == "prod" else ak.sum)(value, axis=1)


def _is_relative(correction: Correction, source: UncertaintySource) -> bool:
    has_sys = any(isinstance(arg, Sys) for arg in correction.args_of(source))
    return source.key is not None and source.is_delta and not has_sys


def _arranged(args: tuple[Any, ...], arrays: list[Any], systematic: str) -> list[Any]:
    """Put `arrays` where the references stand, the systematic where ``Sys()`` stands."""
    n_refs = sum(isinstance(arg, ObjVar) for arg in args)
    queue = list(arrays)
    inputs: list[Any] = []
    for arg in args:
        if isinstance(arg, Sys):
            inputs.append(systematic)
        elif not isinstance(arg, ObjVar):
            inputs.append(arg)
        elif len(arrays) == n_refs:
            inputs.append(queue.pop(0))
        else:  # another number of arrays came out of transform_in: all of them stand here
            inputs.extend(queue)
            queue = []
    return inputs


def _evaluate(evaluator: Any, inputs: Sequence[Any]) -> Any:
    """Evaluate on flat or jagged arrays; the answer has the structure of the deepest input."""
    wanted = evaluator.inputs
    if len(inputs) != len(wanted):
        names = [variable.name for variable in wanted]
        raise ValueError(f"{len(inputs)} inputs are given, the correction takes {names}")
    values_in = [
        float(value) if isinstance(value, int) and variable.type == "real" else value
        for value, variable in zip(inputs, wanted, strict=True)
    ]
    arrays = [value for value in values_in if not isinstance(value, Constant)]
    alike = aligned(arrays)
    if alike is None:
        return _evaluate_other(evaluator, values_in, arrays)
    values, lists = alike
    queue = iter(values)
    inputs = [_plain(v if isinstance(v, Constant) else next(queue)) for v in values_in]
    answer = evaluator.evaluate(*inputs)
    return answer if lists is None else Column(answer, lists)


def _evaluate_other(evaluator: Any, values_in: list[Any], arrays: list[Any]) -> Any:
    """Evaluate on arrays that are no columns, as options are."""
    if all(_is_flat(array) for array in arrays):
        return evaluator.evaluate(*(_plain(value) for value in values_in))
    broadcast = iter(ak.broadcast_arrays(*arrays))
    alike = [v if isinstance(v, Constant) else next(broadcast) for v in values_in]
    jagged = next(value for value in alike if isinstance(value, ak.Array))
    flat = [_plain(ak.flatten(v) if isinstance(v, ak.Array) else v) for v in alike]
    return ak.unflatten(evaluator.evaluate(*flat), ak.num(jagged))


def _is_flat(array: Any) -> bool:
    return not isinstance(array, ak.Array) or array.ndim == 1


def _plain(value: Any) -> Any:
    """Return what correctionlib takes: float64 or int64 arrays, or the scalar itself."""
    if isinstance(value, Constant):
        return value
    is_numpy = type(value) is np.ndarray
    array: NDArray[Any] = value if is_numpy else ak.to_numpy(value, allow_missing=False)
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64, copy=False)


def apply(op: str, value: Any, factor: Any) -> Any:
    """Combine a column or weight with a factor by ``mult``, ``add`` or ``subtract``."""
    if op == "mult":
        return value * factor
    return value + factor if op == "add" else value - factor

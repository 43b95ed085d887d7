"""Does a function treat events independently? It is asked again with half of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.errors import FunctorError

__all__ = ["check_independence"]


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
    FunctorError
        If an event's answer changes when other events are in the array.
    """
    lengths = {len(item) for item in inputs if _is_array(item)}
    if len(lengths) != 1 or (n := lengths.pop()) < 2:
        return
    for half in (slice(0, n // 2), slice(n // 2, n)):
        some = [item[half] if _is_array(item) else item for item in inputs]
        alone = _parts(function(*some, **kwargs))
        for name, whole in _parts(answer).items():
            if _is_array(whole) and len(whole) != n:
                continue  # another check tells of the length
            expected = whole[half] if _is_array(whole) else whole
            if name not in alone or not _same(expected, alone[name]):
                what = f" ({name})" if name else ""
                raise FunctorError(
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

"""The kinds of values in a configuration: references, markers, names, numbers, bin edges."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, Strict

__all__ = [
    "Args",
    "Bool",
    "Constant",
    "Count",
    "Edges",
    "Float",
    "Name",
    "Names",
    "ObjVar",
    "Positive",
    "Refs",
    "Sys",
    "WorkerEval",
    "Year",
    "Years",
    "as_names",
    "as_refs",
]

Constant = str | int | float | bool
"""A constant among the arguments of a correction."""


class ObjVar(NamedTuple):
    """A reference to event data, e.g. ``ObjVar("Muon", "pt")``; no field: the collection."""

    obj: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Sys:
    """The place among a correction's `args` where the systematic string goes."""


@dataclass(frozen=True, slots=True, repr=False)
class WorkerEval:
    """A value that is made on the worker, so that the client never sees it.

    Parameters
    ----------
    function
        Called without arguments on the worker, e.g. ``lambda: os.environ["TOKEN"]``.
    """

    function: Callable[[], Any]

    def __post_init__(self) -> None:
        """Refuse what cannot be called, such as a value that was already read."""
        if not callable(self.function):
            kind = type(self.function).__name__
            raise TypeError(f"WorkerEval takes a function without arguments, not a {kind}")

    def __repr__(self) -> str:
        """Show that there is something, never what."""
        return "WorkerEval(<evaluated on the worker>)"

    def resolve(self) -> Any:
        """Return the value; call this on a worker only."""
        return self.function()


def _is_ref(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and (value[1] is None or isinstance(value[1], str))
    )


def _as_ref(value: Any) -> ObjVar:
    if not _is_ref(value):
        raise ValueError(
            f'a reference is a pair such as ("Muon", "pt") or ("Muon", None), not {value!r}'
        )
    return ObjVar(*value)


def as_refs(value: Any) -> tuple[ObjVar, ...]:
    """Read one reference, several or None (no reference) into a tuple."""
    if value is None:
        return ()
    if _is_ref(value):
        return (_as_ref(value),)
    if not isinstance(value, list | tuple):
        raise ValueError(f'a list of references such as [("Muon", "pt")] is wanted, not {value!r}')
    return tuple(_as_ref(entry) for entry in value)


def _as_args(value: Any) -> tuple[ObjVar | Sys | Constant, ...]:
    if _is_ref(value):
        return (_as_ref(value),)
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list of references, Sys() and literals is wanted, not {value!r}")
    args = tuple(
        entry if isinstance(entry, Sys | str | int | float | bool) else _as_ref(entry)
        for entry in value
    )
    if sum(isinstance(entry, Sys) for entry in args) > 1:
        raise ValueError("there is at most one Sys() among the args")
    return args


def as_names(value: Any) -> Any:
    """Read one name as a list of one."""
    return (value,) if isinstance(value, str) else value


def _check_name(value: str) -> str:
    if not value.strip() or "/" in value:
        raise ValueError(f"a name is not empty and holds no '/', unlike {value!r}")
    return value


def _as_year(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _as_years(value: Any) -> Any:
    return (value,) if isinstance(value, str | int) else value


def _as_edges(value: Any) -> tuple[float, ...]:
    edges = _parsed(value) if isinstance(value, str) else _listed(value)
    if not all(math.isfinite(edge) for edge in edges):
        raise ValueError(f"bin edges are finite numbers, unlike {value!r}")
    if len(edges) < 2 or any(a >= b for a, b in zip(edges, edges[1:], strict=False)):
        raise ValueError(f"bin edges increase and are at least two, unlike {value!r}")
    return edges


def _parsed(text: str) -> tuple[float, ...]:
    try:
        low_text, high_text, n_text = text.split(",")
        low, high, n_bins = float(low_text), float(high_text), int(n_text)
    except ValueError as error:
        raise ValueError(f"a binning is 'low,high,nbins' or a list of edges, not {text!r}") from (
            error
        )
    if n_bins < 1:
        raise ValueError(f"a binning has at least one bin, unlike {text!r}")
    return tuple(low + (high - low) * i / n_bins for i in range(n_bins + 1))


def _listed(value: Any) -> tuple[float, ...]:
    is_numbers = isinstance(value, Sequence) and not any(isinstance(e, str | bool) for e in value)
    try:
        if is_numbers:
            return tuple(float(edge) for edge in value)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"a binning is 'low,high,nbins' or a list of edges, not {value!r}")


Bool = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(gt=0)]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Args = Annotated[tuple[ObjVar | Sys | Constant, ...], PlainValidator(_as_args)]
Edges = Annotated[tuple[float, ...], PlainValidator(_as_edges)]
Name = Annotated[str, AfterValidator(_check_name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(as_names)]
Refs = Annotated[tuple[ObjVar, ...], PlainValidator(as_refs)]
Year = Annotated[Name, BeforeValidator(_as_year)]
Years = Annotated[tuple[Year, ...], BeforeValidator(_as_years)]

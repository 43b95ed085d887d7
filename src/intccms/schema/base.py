"""The kinds of values in a configuration: references, markers, names, numbers, bin edges."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    ValidationInfo,
    model_validator,
)

from intccms.errors import nearest

Constant = str | int | float | bool  # among the arguments of a correction


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

Ref = Annotated[ObjVar, PlainValidator(_as_ref)]

Refs = Annotated[tuple[ObjVar, ...], PlainValidator(as_refs)]

Year = Annotated[Name, BeforeValidator(_as_year)]

Years = Annotated[tuple[Year, ...], BeforeValidator(_as_years)]


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """Declare a field that need not be given: its default, and what it means to people."""
    return Field(default=default, description=meaning, **limits)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return tuple(part for a in get_args(annotation) for part in alternatives(a))
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    return (annotation,)


class KeyProblem(ValueError):
    """What is wrong with one key of a part of the configuration, raised within a validator."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class UnknownKey(KeyProblem):
    """A key that no part of this configuration has; told before anything else."""


def duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once, in order of their second occurrence."""
    seen: set[str] = set()
    twice: list[str] = []
    for name in names:
        if name in seen and name not in twice:
            twice.append(name)
        seen.add(name)
    return twice


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays into Python numbers and lists, paths into text."""
    if type(value) in (list, tuple):
        return type(value)(_plain(entry) for entry in value)
    if isinstance(value, PurePath):
        return str(value)
    is_numpy = type(value).__module__ == "numpy" and hasattr(value, "tolist")
    return value.tolist() if is_numpy else value


@dataclass(frozen=True)
class Older:
    """How a part of a configuration was written in the past; all of it stands in `older`."""

    spellings: Mapping[str, str] = field(default_factory=dict)  # of a key → the field
    ignored: frozenset[str] = frozenset()  # read, without effect; `load_config` says so
    refused: Mapping[str, str] = field(default_factory=dict)  # → what to write instead
    keys: tuple[str, ...] = ()  # that `translate` reads
    translate: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def renamed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that other spellings stand for."""
        fields = {self.spellings.get(key, key): value for key, value in data.items()}
        for key in self.spellings.keys() & data.keys():
            name = self.spellings[key]
            if name in data and data[name] != data[key]:
                raise KeyProblem(key, f"{name!r} is another spelling of it and has another value")
        return fields


class Model(BaseModel):
    """A frozen part of the configuration that knows every key it reads."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True
    )
    older: ClassVar[Older] = Older()

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        """Return every key that may stand in this part of a configuration."""
        older = cls.older
        return (*cls.model_fields, *older.spellings, *sorted(older.ignored), *older.keys)

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Turn another way of writing into the fields; `data` is a copy that may be changed."""
        return cls.older.translate(data)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        known = cls.known_keys()
        for key in raw:
            if key in cls.older.refused:
                raise UnknownKey(key, cls.older.refused[key])
            if key not in known:
                raise UnknownKey(str(key), f"unknown key {key!r}; {nearest(str(key), known)}")
        data = {key: _plain(value) for key, value in raw.items() if key not in cls.older.ignored}
        fields = cls.older.renamed(data)
        return cls.prepare({k: v for k, v in fields.items() if v is not None or cls._takes_none(k)})

    @classmethod
    def _takes_none(cls, key: str) -> bool:
        """Whether None is a value of this key; else it stands for the default, if there is one."""
        field = cls.model_fields.get(key)
        return field is None or field.is_required() or NoneType in alternatives(field.annotation)


LIBRARIES = {"numpy", "awkward"}  # whose functions have keywords that nobody sets
SETTINGS = (bool, int, float, str, list, tuple, NoneType)  # kinds of values in a form


def parameters_of(function: Any) -> dict[str, Any]:
    """Give the keyword-only parameters of a function that are settings, with their defaults.

    Examples
    --------
    >>> def selection(met, *, met_min=50.0): ...
    >>> parameters_of(selection)
    {'met_min': 50.0}
    """
    return {
        name: one.default
        for name, one in _signature(function).items()
        if one.kind is one.KEYWORD_ONLY and isinstance(one.default, SETTINGS)
    }


def _signature(function: Any, *, wrapped: bool = True) -> Mapping[str, Parameter]:
    """Give the parameters of a function, or of what it wraps; none where it does not tell."""
    try:
        inner = getattr(function, "func", function)  # of a partial
        owners = {str(getattr(one, "__module__", "")) for one in (inner, type(inner))}
        if LIBRARIES & {one.partition(".")[0] for one in owners}:
            return {}  # where and dtype of a ufunc are no cuts
        return signature(function, follow_wrapped=wrapped).parameters
    except (TypeError, ValueError):  # one of a library in C does not tell
        return {}


def _with_defaults(given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Add the parameters of the function that are not given; refuse what does not fit it."""
    function = info.data.get("function")
    known, defaults = _signature(function, wrapped=False), parameters_of(function)
    takes_all = not known or any(one.kind is one.VAR_KEYWORD for one in known.values())
    for name, value in given.items():
        if not takes_all and name not in known:
            whose = getattr(function, "__name__", "the function")
            raise KeyProblem(name, f"{whose} has no argument {name!r}; {nearest(name, known)}")
        kind = type(defaults.get(name))
        wanted = int | float if kind is float else kind
        if kind in KINDS and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise KeyProblem(name, f"should be {KINDS[kind]}, as its default is, not {value!r}")
    floats = {k: float(v) for k, v in given.items() if type(defaults.get(k)) is float}
    return defaults | given | floats


# Of values that must be of the kind of their default; a whole number is a number, too.
KINDS: dict[Any, str] = {float: "a number", int: "a whole number", str: "text"}
Parameters = Annotated[dict[str, Any], AfterValidator(_with_defaults)]


class FunctionSpec(Model):
    """A function of event data: what to call and what to call it with."""

    function: Callable[..., Any] = Field(
        description="Called with the arrays named in `use`, in order, then `static_kwargs`."
    )
    use: Refs = setting((), 'References such as ("Muon", "pt"), in call order.')
    static_kwargs: Parameters = setting(
        {}, "Keyword arguments that do not depend on the events; the others have their defaults."
    )

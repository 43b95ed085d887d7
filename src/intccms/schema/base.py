"""The base of every part of a configuration, and the functor."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from intccms.errors import nearest
from intccms.schema.kinds import ObjVar, Refs, Sys, WorkerEval

__all__ = [
    "Functor",
    "KeyProblem",
    "Model",
    "ObjVar",
    "Sys",
    "UnknownKey",
    "WorkerEval",
    "duplicates",
]


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


class Model(BaseModel):
    """A frozen part of the configuration that knows every key it reads."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True
    )
    spellings: ClassVar[Mapping[str, str]] = {}  # another spelling of a key → the field
    ignored: ClassVar[frozenset[str]] = frozenset()  # read, without effect; `load_config` says so
    refused: ClassVar[Mapping[str, str]] = {}  # a key of the past → what to write instead
    none_is_default: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        """Return every key that may stand in this part of a configuration."""
        return (*cls.model_fields, *cls.spellings, *sorted(cls.ignored))

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Turn an older spelling into the fields; `data` is a copy that may be changed."""
        return data

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        cls._check_keys(raw)
        data = {
            key: _plain(value)
            for key, value in raw.items()
            if key not in cls.ignored and not (value is None and key in cls.none_is_default)
        }
        for other, field in cls.spellings.items():
            if other in data:
                value = data.pop(other)
                if data.setdefault(field, value) != value:
                    text = f"{field!r} is another spelling of it and has another value"
                    raise KeyProblem(other, text)
        return cls.prepare(data)

    @classmethod
    def _check_keys(cls, raw: Mapping[Any, Any]) -> None:
        known = cls.known_keys()
        for key in raw:
            if key in cls.refused:
                raise UnknownKey(key, cls.refused[key])
            if key not in known:
                raise UnknownKey(str(key), f"unknown key {key!r}; {nearest(str(key), known)}")


class Functor(Model):
    """A function of event data: what to call and what to call it with."""

    none_is_default = frozenset({"use", "static_kwargs"})

    function: Callable[..., Any] = Field(
        description="Called with the arrays named in `use`, in order, then `static_kwargs`."
    )
    use: Refs = Field(default=(), description='References such as ("Muon", "pt"), in call order.')
    static_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments that do not depend on the events."
    )

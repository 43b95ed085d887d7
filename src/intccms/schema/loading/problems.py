"""From pydantic's errors to one line: dotted path, what is wrong, the nearest valid key."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from intccms.redaction import is_secret
from intccms.schema.base import KeyProblem, Model, UnknownKey
from intccms.schema.resolved import as_json

__all__ = ["entry_name", "explain", "inner_model"]

OTHER_SPELLINGS = {
    "args": "use",
    "transform_in": "transform",
    "run_skimming": "save_skimmed_output",
}
WORDS = {
    "a valid tuple": "a list",
    "a valid dictionary": "a table",
    "a valid number": "a number",
    "a valid integer": "a whole number",
    "a valid boolean": "True or False",
    "a valid string": "text",
}
LONGEST_VALUE = 60


def inner_model(annotation: Any) -> type[Model] | None:
    """Return the first `Model` within a type such as ``tuple[Channel, ...]``, else None."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    found = (inner_model(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def entry_name(entry: Any) -> str | None:
    """Return the name by which an entry of a list is addressed, if it has one."""
    for key in ("name", "object"):
        value = entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key, None)
        if isinstance(value, str):
            return value
    return None


def explain(error: ValidationError, model: type[Model], raw: Any) -> str:
    """Return one line on the first problem, and how many more there are.

    Parameters
    ----------
    error
        What pydantic raised.
    model, raw
        What was validated against which model; used to name list entries and what is missing.
    """
    problems: dict[str, dict[str, str]] = {}
    details = error.errors(include_url=False)
    for detail in sorted(details, key=lambda entry: not isinstance(_cause(entry), UnknownKey)):
        path, wanted, given = _problem(detail, model, raw)
        problems.setdefault(path, {}).setdefault(wanted, given)
    path, texts = next(iter(problems.items()))
    line = " or ".join(texts).replace(" or should be", " or")
    parts = [f"{path}: " if path else "", line, next(iter(texts.values()))]
    n_more = len(problems) - 1
    return " ".join("".join(parts).split()) + (f" (and {n_more} more)" if n_more else "")


def _cause(detail: ErrorDetails) -> Any:
    return detail.get("ctx", {}).get("error")


def _problem(detail: ErrorDetails, model: type[Model], raw: Any) -> tuple[str, str, str]:
    """Return where it is, what is wanted, and what was given instead."""
    loc, cause = detail["loc"], _cause(detail)
    steps = _path(loc, raw)
    if isinstance(cause, KeyProblem):
        return ".".join([*steps, cause.key]), str(cause), ""
    if isinstance(cause, ValueError):
        return ".".join(steps), str(cause), ""
    if detail["type"] == "missing" and isinstance(loc[-1], str):
        field = _model_at(loc[:-1], model).model_fields.get(str(loc[-1]))
        meaning = "" if field is None or field.description is None else f": {field.description}"
        return ".".join([*steps, str(loc[-1])]), f"this key is required{meaning}", ""
    if detail["type"] in ("missing", "too_short", "too_long"):
        return ".".join(steps), "this list has the wrong number of entries", ""
    wanted = detail["msg"].replace("Input should be", "should be")
    for pydantic_word, word in WORDS.items():
        wanted = wanted.replace(pydantic_word, word)
    return ".".join(steps), wanted, f", not {_shown(loc, detail['input'])}"


def _shown(loc: tuple[int | str, ...], value: Any) -> str:
    if any(is_secret(part) for part in loc):
        return f"this {type(value).__name__}"
    text = repr(as_json(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _path(loc: tuple[int | str, ...], raw: Any) -> list[str]:
    """Return the steps of `loc` that exist in `raw`, list entries by their names."""
    here, steps = raw, []
    for item in loc:
        if isinstance(here, Mapping):
            key = _key(here, item)
            if key is None:
                continue
            here = here[key]
            steps.append(str(key))
        elif isinstance(here, list | tuple) and isinstance(item, int) and item < len(here):
            here = here[item]
            steps.append(entry_name(here) or str(item))
        elif isinstance(here, Model) and isinstance(item, str) and hasattr(here, item):
            here = getattr(here, item)
            steps.append(item)
    return steps


def _key(table: Mapping[Any, Any], item: int | str) -> Any:
    for key in table:
        if key == item or str(key) == str(item):
            return key
    other = OTHER_SPELLINGS.get(str(item))
    return other if other in table else None


def _model_at(loc: tuple[int | str, ...], model: type[Model]) -> type[Model]:
    for item in loc:
        field = model.model_fields.get(str(item))
        inner = None if field is None else inner_model(field.annotation)
        model = model if inner is None else inner
    return model

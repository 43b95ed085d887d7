"""From pydantic's errors to one line: dotted path, what is wrong, the nearest valid key."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from intccms.errors import nearest
from intccms.schema.base import Model
from intccms.schema.resolved import as_json, is_secret

__all__ = ["entry_name", "explain", "inner_model"]

OTHER_SPELLINGS = {
    "args": "use",
    "use": "args",
    "transform_in": "transform",
    "run_skimming": "save_skimmed_output",
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
        What was validated against which model; used to name list entries and nearest keys.
    """
    problems: dict[str, list[str]] = {}
    details = error.errors(include_url=False)
    for detail in sorted(details, key=lambda entry: entry["type"] != "extra_forbidden"):
        path, text = _problem(detail, model, raw)
        problems.setdefault(path, []).append(text)
    path, texts = next(iter(problems.items()))
    line = " or ".join(dict.fromkeys(texts))
    line = f"{path}: {line}" if path else line
    n_more = len(problems) - 1
    return line if n_more == 0 else f"{line} (and {n_more} more)"


def _problem(detail: ErrorDetails, model: type[Model], raw: Any) -> tuple[str, str]:
    kind, loc = detail["type"], detail["loc"]
    path = ".".join(_path(loc, raw))
    if kind == "extra_forbidden":
        known = _model_at(loc[:-1], model).known_keys()
        return path, f"unknown key {str(loc[-1])!r}; {nearest(str(loc[-1]), known)}"
    if kind == "missing":
        holder = _model_at(loc[:-1], model)
        field = holder.model_fields.get(str(loc[-1]))
        meaning = "" if field is None or field.description is None else f": {field.description}"
        return f"{path}.{loc[-1]}".lstrip("."), f"this key is required{meaning}"
    if kind in ("value_error", "assertion_error"):
        return path, str(detail["ctx"]["error"])
    message = detail["msg"].replace("Input should be", "should be").replace(" tuple", " list")
    return path, f"{message}, not {_shown(loc, detail['input'])}"


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

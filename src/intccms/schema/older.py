"""Every way in which a configuration could be written in the past, and what it means today."""

from typing import Any

from intccms.schema.base import KeyProblem, Older, Sys, as_refs

UP_AND_DOWN = ("up_function", "down_function")
OF_A_SOURCE = ("symmetrise", "normalise")
AS_ESTIMATOR = (
    "networks are no longer written as 'framework', 'layers' and 'loss'; replace these three by "
    "'estimator', a function that returns a scikit-learn classifier, e.g. "
    "lambda: MLPClassifier(hidden_layer_sizes=(16, 16), activation='tanh')"
)


def correction(data: dict[str, Any]) -> dict[str, Any]:
    """Translate the entry of a correction.

    `use` and `up_and_down_idx` may stand on the correction; an entry of `systematics` may have the
    functions for up and down itself. They become `args` and `uncertainty_sources`.
    """
    source: dict[str, Any] = {key: data.pop(key, None) for key in UP_AND_DOWN}
    extra = {key: data.pop(key) for key in OF_A_SOURCE if key in data}
    met = data.get("propagate_to")
    if isinstance(met, list | tuple) and len(met) == 2 and met[1] in (None, "pt"):
        data["propagate_to"] = met[0]  # a reference stands for its collection
    is_variation = any(function is not None for function in source.values())
    evaluates = data.get("nominal_function") is None and not is_variation
    evaluates = data.setdefault("use_correctionlib", evaluates) is True
    has_indices = "up_and_down_idx" in data
    indices = data.pop("up_and_down_idx", ("up", "down"))
    is_old = has_indices or (evaluates and "use" in data)
    if "use" in data:
        if "args" in data:
            raise KeyProblem("use", "'args' is another spelling of it; give one of them")
        try:
            refs = as_refs(data.pop("use"))
        except ValueError as error:
            raise KeyProblem("use", str(error)) from None
        data["args"] = (*refs, Sys()) if is_old else refs
    if is_variation:
        source |= {"name": data.get("name"), "is_delta": True, **extra}
    elif is_old and indices is not None:
        source = {
            "name": data.get("name"),
            "up_and_down_idx": indices,
            "normalise": extra.get("normalise", False),
        }
    elif extra.get("normalise"):
        raise KeyProblem("normalise", "it is a key of an uncertainty source")
    if source.get("name") and not data.get("uncertainty_sources"):
        data["uncertainty_sources"] = (source,)
    return data


CORRECTION = Older(
    spellings={"transform": "transform_in"},
    ignored=frozenset({"use_in_diff"}),
    keys=("use", "up_and_down_idx", *UP_AND_DOWN, *OF_A_SOURCE),
    translate=correction,
)
CHANNEL = Older(ignored=frozenset({"use_in_diff"}))
GENERAL = Older(spellings={"save_skimmed_output": "run_skimming"})
MVA = Older(refused=dict.fromkeys(("framework", "layers", "loss"), AS_ESTIMATOR))
SPELLINGS = {"use": "args", **CORRECTION.spellings, **GENERAL.spellings}

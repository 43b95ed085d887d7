"""The estimator of a classifier with the settings of the configuration, and how it is fitted."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.datasets import Fileset
from intccms.engine.evaluation import MVA
from intccms.engine.scores import estimator_of
from intccms.errors import FunctorError, InputError
from intccms.execution.failures import user_code
from intccms.schema import Config, Mva

log = logging.getLogger(__name__)

# How scikit-learn and packages with its interface call these settings.
EPOCHS = ("epochs", "max_epochs", "max_iter")
BATCH_SIZE = ("batch_size",)
LEARNING_RATE = ("learning_rate_init", "learning_rate")


def check(config: Config, fileset: Fileset) -> tuple[Mva, ...]:
    """Look whether the classifiers can be trained; return those that are.

    Raises
    ------
    InputError
        If there is none, or one of them cannot be.
    """
    if not config.mva:
        what = "general.run_mva_training=True: no classifier is configured, see mva"
        raise InputError(what)
    todo = tuple(mva for mva in config.mva if not isinstance(estimator_of(mva), Path))
    names = {mva.name for mva in todo}
    for mva in todo:
        _check_classes(mva, fileset)
        takes_weights = _weights_key(prepared(mva)) is not None
        if mva.balance_strategy == "class_weight" and not takes_weights:
            raise InputError(
                f"mva.{mva.name}.balance_strategy: the fit of this estimator takes no "
                "sample_weight; 'undersample' needs none"
            )
        for feature in mva.features:
            if any(ref.obj == MVA and ref.field in names for ref in feature.use):
                raise InputError(
                    f"mva.{mva.name}.features.{feature.name} uses a score that this run trains"
                )
    return todo


def _check_classes(mva: Mva, fileset: Fileset) -> None:
    if not 0 <= mva.random_state < 2**32:
        raise InputError(f"mva.{mva.name}.random_state: 0 to 2**32 - 1, not {mva.random_state}")
    processes = [process for entry in mva.classes for process in entry.processes]
    if len(set(processes)) < len(processes):
        raise InputError(f"mva.{mva.name}.classes: a process is in two of them: {processes}")
    for entry in mva.classes:
        if not set(entry.processes) & set(fileset.processes):
            raise InputError(
                f"mva.{mva.name}.classes: this run has no events of class {entry.name!r} "
                f"{list(entry.processes)}; see general.processes"
            )


def prepared(mva: Mva) -> Any:
    """Make the estimator with ``epochs``, ``batch_size``, ``learning_rate`` and a seed.

    Raises
    ------
    InputError
        If it has no parameter for a setting that is given.
    """
    estimator = estimator_of(mva)
    parameters = estimator.get_params()
    chosen: dict[str, Any] = {
        key: mva.random_state
        for key, value in parameters.items()
        if _last(key) == "random_state" and value is None
    }
    for setting, value, names in (
        ("epochs", mva.epochs, EPOCHS),
        ("batch_size", mva.batch_size, BATCH_SIZE),
        ("learning_rate", mva.learning_rate, LEARNING_RATE),
    ):
        if value is None:
            continue
        found = [
            key
            for name in names
            for key in sorted(parameters, key=len)
            if _last(key) == name and not (name == "learning_rate" and _is_text(parameters[key]))
        ]
        if not found:
            raise InputError(
                f"mva.{mva.name}.{setting}: {type(estimator).__name__} has none of the parameters "
                f"{list(names)}; leave it out and set what it has in 'estimator'"
            )
        chosen[found[0]] = value
    return estimator.set_params(**chosen)


def _last(key: str) -> str:
    return key.rpartition("__")[2]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def last_step(estimator: Any) -> Any:
    """Return the classifier at the end of a pipeline, or the estimator itself."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _weights_key(estimator: Any) -> str | None:
    from sklearn.utils.validation import has_fit_parameter

    if not has_fit_parameter(last_step(estimator), "sample_weight"):
        return None
    prefix = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return f"{prefix}sample_weight"


def fitted(
    mva: Mva, x: NDArray[np.float64], y: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[Any, bool]:
    """Fit the estimator.

    Parameters
    ----------
    mva
        The classifier.
    x : shape (n_events, n_features)
        Scaled features.
    y, weights : shape (n_events,)
        Position of the class; positive weights.

    Returns
    -------
    tuple
        The estimator, and whether it has used the weights.

    Raises
    ------
    FunctorError
        If the fit fails.
    """
    key, estimator = f"mva.{mva.name}.estimator", prepared(mva)
    name = _weights_key(estimator)
    if name is None:
        log.warning("%s: its fit takes no sample_weight, every event counts the same", key)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with user_code(key):
                estimator.fit(x, y, **({} if name is None else {name: weights}))
        except Exception as exc:
            raise FunctorError(f"{key}: the fit failed: {type(exc).__name__}: {exc}") from exc
    for text in dict.fromkeys(" ".join(str(one.message).split()) for one in told):
        log.warning("%s: %s", key, text)
    # Threads of its own would add trees up in any order, and workers have one core each.
    jobs = {one: 1 for one in estimator.get_params() if _last(one) == "n_jobs"}
    return estimator.set_params(**jobs), name is not None

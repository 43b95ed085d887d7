"""Classifiers inside the analysis: their inputs, stored models, and scores as derived columns."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from intccms.engine.calls import MVA, as_flat
from intccms.engine.objects import event_seeds
from intccms.engine.variations import reads
from intccms.errors import FunctionError, InputError, attempted
from intccms.execution.failures import user_code
from intccms.fingerprint.digest import fingerprint
from intccms.schema import Config, Correction, DerivedColumn, Feature, FunctionSpec, Mva, ObjVar
from intccms.storage import Output

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMatrix:
    """Evaluates all features of a classifier.

    Parameters
    ----------
    name
        Of the classifier.
    features
        Without what only plots need.
    """

    name: str
    features: tuple[Feature, ...]

    @classmethod
    def of(cls, mva: Mva) -> Self:
        """Take the features of a classifier."""
        plain = {"label": "", "binning": None}
        return cls(mva.name, tuple(one.model_copy(update=plain) for one in mva.features))

    @property
    def spec(self) -> FunctionSpec:
        """The function itself, with the inputs of all features."""
        return FunctionSpec(
            function=self, use=tuple(ref for one in self.features for ref in one.use)
        )

    def __call__(self, *inputs: Any) -> Matrix:
        """Evaluate the features of some events.

        Returns
        -------
        shape (n_events, n_features)
            Not scaled.

        Raises
        ------
        FunctionError
            If one is not one finite number for each event.
        """
        arrays, n = iter(inputs), len(inputs[0])
        columns = []
        for feature in self.features:
            key, use = self._key(feature), list(islice(arrays, len(feature.use)))
            answer = attempted(self._answer, feature, key, use)
            if isinstance(answer, Exception):
                answer.add_note(f"in {key}")
                raise answer
            columns.append(_finite(as_flat(answer, n, key), key))
        return np.stack(columns, axis=1)

    def _answer(self, feature: Feature, key: str, use: list[Any]) -> Any:
        with user_code(key, feature.function):
            return feature.function(*use, **feature.static_kwargs)

    def scaled(self, matrix: Matrix) -> Matrix:
        """Apply the ``scale`` of each feature to what a call gave.

        Raises
        ------
        FunctionError
            If that gives something else than one finite number for each event.
        """
        columns = []
        for column, feature in zip(matrix.T, self.features, strict=True):
            values, key = np.array(column), f"{self._key(feature)}.scale"
            if feature.scale is not None:
                with user_code(key, feature.scale):
                    values = feature.scale(values)
                values = _finite(as_flat(values, len(column), key), key)
            columns.append(values)
        return np.stack(columns, axis=1)

    def _key(self, feature: Feature) -> str:
        return f"mva.{self.name}.features.{feature.name}"


def _finite(values: NDArray[Any], key: str) -> Matrix:
    wide = values.astype(np.float64)
    n_bad = int(np.count_nonzero(~np.isfinite(wide)))
    if n_bad:
        raise FunctionError(
            f"{key}: NaN or infinite in {n_bad} of {len(wide)} events; give each event a number, "
            "e.g. with ak.fill_none or np.where"
        )
    return wide


Predict = Callable[[Matrix], Any]
Loaded = tuple[tuple[Predict, ...], Callable[[], AbstractContextManager[Any]]]

# A matrix product may sum in another order when its length is another: every call has this one.
# It is a multiple of 8, 12, 16, 24 and 48, so that no row falls to the code for left-over rows.
BLOCK = 1536
INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def fold_of(identity: Any, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Return to which of `n_folds` equal parts each event belongs, by a hash of it alone.

    Parameters
    ----------
    identity : shape (n_events,)
        64 bits made from run, section and event number.
    n_folds, seed
        Another seed is another division.

    Returns
    -------
    shape (n_events,)
        From 0 to ``n_folds - 1``; the model of this number has not seen the event.
    """
    numbers = np.asarray(identity).astype(np.uint64)
    salt = np.full(len(numbers), seed)
    # the upper bits: as many hashes for each part, to one in 2**31
    upper = event_seeds(numbers, salt, salt) >> np.uint64(32)
    return (upper * np.uint64(n_folds) >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True)
class Predictor:
    """Probabilities of the classes.

    Parameters
    ----------
    kind
        What `content` is: the pickle of estimators, one for each fold, or one ONNX model.
    content
        The models.
    classes
        Names, in the order of the columns.
    n_folds, seed
        How events are divided among the models, see `fold_of`.
    """

    kind: Literal["pickle", "onnx"]
    content: bytes
    classes: tuple[str, ...]
    n_folds: int = 1
    seed: int = 0

    def __call__(self, matrix: Matrix, identity: Any = None) -> Matrix:
        """Evaluate for each event the model that has not seen it.

        Parameters
        ----------
        matrix : shape (n_events, n_features)
            Scaled features.
        identity : shape (n_events,)
            64 bits made from run, section and event number; needed with several folds.

        Returns
        -------
        shape (n_events, n_classes)
            Each row depends on the features in it and on nothing else.
        """
        folds = None if self.n_folds == 1 else fold_of(identity, self.n_folds, self.seed)
        return self.by_fold(matrix, folds)

    def by_fold(self, matrix: Matrix, folds: NDArray[np.int64] | None) -> Matrix:
        """Evaluate for each event the model of the given number; None: the first."""
        answers = np.empty((len(matrix), len(self.classes)))
        if not len(matrix):
            return answers
        models, one_thread = _loaded(self.kind, self.content, self.classes)
        with one_thread():
            if folds is None:
                answers[:] = _in_blocks(models[0], matrix, len(self.classes))
                return answers
            for number in np.unique(folds):
                mine = folds == number
                answers[mine] = _in_blocks(models[number], matrix[mine], len(self.classes))
        return answers


def _in_blocks(predict: Predict, matrix: Matrix, n_classes: int) -> Matrix:
    answers = np.empty((len(matrix), n_classes))
    block = np.empty((BLOCK, matrix.shape[1]))
    for start in range(0, len(matrix), BLOCK):
        rows = matrix[start : start + BLOCK]
        block[:] = rows[0]
        block[: len(rows)] = rows
        answers[start : start + BLOCK] = predict(block)[: len(rows)]
    return answers


@lru_cache(maxsize=16)
def _loaded(kind: str, content: bytes, classes: tuple[str, ...]) -> Loaded:
    if kind == "onnx":
        return (_onnx_session(content, classes),), nullcontext
    from threadpoolctl import ThreadpoolController

    models = pickle.loads(content)
    threads = ThreadpoolController()  # knows the libraries that the models have just brought in
    return tuple(one.predict_proba for one in models), lambda: threads.limit(limits=1)


def _onnx_session(content: bytes, classes: tuple[str, ...]) -> Callable[[Matrix], Matrix]:
    try:
        import onnxruntime
    except ModuleNotFoundError as exc:
        what = "an ONNX model needs the package onnxruntime: pip install 'intccms[mva]'"
        raise InputError(what) from exc
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs, output = session.get_inputs(), session.get_outputs()[-1].name
    if len(inputs) != 1 or inputs[0].type not in INPUTS:
        what = ", ".join(f"{one.name}: {one.type}" for one in inputs)
        raise InputError(f"one input of floats is needed, (events, features); it has {what}")
    name, dtype = inputs[0].name, INPUTS[inputs[0].type]

    def predict(block: Matrix) -> Matrix:
        (answer,) = session.run([output], {name: block.astype(dtype)})
        if isinstance(answer, list):  # a table for each event, as skl2onnx makes by default
            keys = classes if set(answer[0]) == set(classes) else sorted(answer[0])
            answer = [[row[key] for key in keys] for row in answer]
        columns = np.asarray(answer, dtype=np.float64).reshape(len(block), -1)
        one = columns.shape[1] == 1  # of a network that gives the probability of the last class
        return np.hstack([1 - columns, columns]) if one else columns

    return predict


log = logging.getLogger(__name__)

OTHERS_WRITE = 0o022
_trained_here: set[str] = set()  # by this process, which may have no home


def _notes() -> Path:
    """Return the directory with the digests of what this user has trained."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "intccms" / "models"


def trust(content: bytes, folder: Path) -> None:
    """Note that this user has made `content`; nobody else is to write to `folder`, where it is."""
    digest = hashlib.sha256(content).hexdigest()
    _trained_here.add(digest)
    try:
        folder.chmod(folder.stat().st_mode & ~OTHERS_WRITE)
        notes = _notes()
        notes.mkdir(mode=0o700, parents=True, exist_ok=True)
        (notes / digest).touch(mode=0o600)
    except (OSError, RuntimeError) as error:
        log.warning("later runs will not load the model in %s: %s", folder, error)


def check_trusted(path: Path, content: bytes) -> None:
    """Refuse a pickle that somebody else may have made.

    Parameters
    ----------
    path, content
        Where it was found, and what was read there.

    Raises
    ------
    InputError
        With the reason.
    """
    reason = _open_to_others(path) or _open_to_others(path.parent) or _unknown(content)
    if reason:
        raise InputError(
            f"{path} is not loaded, as a pickle may run whatever is in it: {reason}; train it with "
            "general.run_mva_training=True, or take an ONNX model, which holds no code"
        )


def _open_to_others(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if status.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another user"
    return f"others can write to {path}" if status.st_mode & OTHERS_WRITE else ""


def _unknown(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if digest in _trained_here:
        return ""
    try:
        notes = _notes()
        if not (notes / digest).is_file():
            return f"this user has not trained it (no note of it in {notes})"
    except (OSError, RuntimeError) as error:
        return f"what this user has trained cannot be read: {error}"
    return _open_to_others(notes)


MODEL_JSON, MODEL_PKL = "model.json", "model.pkl"
TRAIN = "train it with general.run_mva_training=True"


def estimator_of(mva: Mva) -> Any:
    """Call ``estimator``.

    Returns
    -------
    object or Path
        An untrained scikit-learn classifier, or where an ONNX model is.

    Raises
    ------
    InputError
        If it fails or returns anything else.
    """
    key = f"mva.{mva.name}.estimator"
    made = attempted(mva.estimator)
    if isinstance(made, Exception):
        raise InputError(f"{key}: {type(made).__name__}: {made}") from made
    if isinstance(made, str | Path):
        if Path(made).suffix != ".onnx":
            raise InputError(f"{key}: {str(made)!r} is not the path of an .onnx file")
        return Path(made)
    if isinstance(made, type):
        raise InputError(f"{key} returns the class {made.__name__}, it must return an instance")
    kind = type(made).__name__
    if not (hasattr(made, "fit") and hasattr(made, "get_params")):
        raise InputError(f"{key} returns a {kind}, which is no scikit-learn classifier")
    if not hasattr(made, "predict_proba"):
        raise InputError(
            f"{key}: {kind} has no predict_proba, as it is set up here; "
            f"CalibratedClassifierCV({kind}(…)) of sklearn.calibration gives it one"
        )
    return made


def load(mva: Mva, config: Config, *, trained: bool = True) -> Predictor | None:
    """Load the model of a classifier: that of `estimator`, or what an earlier run has trained.

    Parameters
    ----------
    mva, config
        The classifier.
    trained
        False: None is the answer where a model has to be trained.

    Raises
    ------
    InputError
        If it is not there, damaged, was trained on other features or classes, or is not known to
        be trained by this user.
    """
    made = estimator_of(mva)
    if isinstance(made, Path):
        return _onnx_predictor(mva, config.general.input_path(str(made)))
    if not trained:
        return None
    folder = Output(config.general).mva_dir(mva.name)
    where = f"mva.{mva.name}: the model in {folder}"
    try:
        record = json.loads((folder / MODEL_JSON).read_text())
        content = (folder / MODEL_PKL).read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"mva.{mva.name}: no trained model in {folder}; {TRAIN}") from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"{where} cannot be read: {exc}; {TRAIN}") from exc
    if hashlib.sha256(content).hexdigest() != record["model_sha256"]:
        raise InputError(f"{where} is damaged; {TRAIN} again")
    check_trusted(folder / MODEL_PKL, content)
    for what, now in made_for(mva, config).items():
        if (then := record["made_for"].get(what)) != now:
            raise InputError(f"{where} was trained with other {what}: {then}, now {now}; {TRAIN}")
    if record["settings_sha256"] != settings_digest(mva, config):
        what = "another estimator, other settings, object masks or baseline"
        log.warning("%s was trained with %s; %s", where, what, TRAIN)
    classes = tuple(one.name for one in mva.classes)
    return Predictor("pickle", content, classes, mva.folds, mva.random_state)


def _onnx_predictor(mva: Mva, path: Path) -> Predictor:
    key, classes = f"mva.{mva.name}.estimator", tuple(one.name for one in mva.classes)
    try:
        predictor = Predictor("onnx", path.read_bytes(), classes)
    except OSError as exc:
        raise InputError(f"{key}: cannot read {path}: {exc.strerror}") from exc
    answer = attempted(predictor, np.ones((1, len(mva.features))))
    if isinstance(answer, Exception):  # the runtime has its own for every fault of a model
        what = f"{len(mva.features)} features and {len(classes)} classes"
        raise InputError(f"{key}: {path} cannot be used with {what}: {answer}") from answer
    return predictor


def made_for(mva: Mva, config: Config) -> dict[str, Any]:
    """Return, in terms of JSON, what must not change between training and use."""
    read = {ref.obj for one in mva.features for ref in one.use}
    derived = [one for one in config.ghost_observables if read & set(one.collections)]
    return {
        "features": [one.name for one in mva.features],
        "classes": [[one.name, list(one.processes)] for one in mva.classes],
        "functions": _digest((FeatureMatrix.of(mva), derived)),
        # an event has to be scored by the model that has not seen it
        "folds": [mva.folds, mva.random_state if mva.folds > 1 else None],
        "versions": {"scikit-learn": version("scikit-learn")},
    }


def settings_digest(mva: Mva, config: Config) -> str | None:
    """Identify what else decides a training."""
    shown = {"features": (), "classes": (), "plot_classes": ()}
    plain = mva.model_copy(update=shown)
    return _digest((plain, config.good_object_masks, config.baseline_selection))


def _digest(value: Any) -> str | None:
    """Digest a value; None where it has no form that lasts."""
    identity = fingerprint(value, versions=False)
    return None if identity.unstable else identity.digest


EVENT_SEED = ObjVar("event", "seed")


@dataclass(frozen=True)
class Score:
    """The function of the derived column of a classifier.

    Parameters
    ----------
    matrix
        Its features.
    predictor
        Its model; None before the training: then all scores are 0.
    columns
        Which classes' probabilities are given.
    """

    matrix: FeatureMatrix
    predictor: Predictor | None
    columns: tuple[int, ...]

    @property
    def use(self) -> tuple[ObjVar, ...]:
        """What it is called with: with several models the identity of the events comes first."""
        return (*((EVENT_SEED,) if self._has_folds else ()), *self.matrix.spec.use)

    @property
    def _has_folds(self) -> bool:
        return self.predictor is not None and self.predictor.n_folds > 1

    def __call__(self, *inputs: Any) -> tuple[NDArray[np.float64], ...]:
        """Return the columns, of shape (n_events,)."""
        identity = None
        if self._has_folds:
            identity, *inputs = inputs  # type: ignore[assignment]
        scaled = self.matrix.scaled(self.matrix(*inputs))
        if self.predictor is None:
            return tuple(np.zeros(len(scaled)) for _ in self.columns)
        probabilities = self.predictor(scaled, identity)
        return tuple(np.ascontiguousarray(probabilities[:, one]) for one in self.columns)


def references(part: Any) -> Iterator[ObjVar]:
    """Yield every reference in a part of a configuration to what it reads."""
    if isinstance(part, ObjVar):
        yield part
    elif isinstance(part, BaseModel):
        if isinstance(part, Correction):
            yield from reads(part)
            return
        for name in sorted(type(part).model_fields):
            yield from references(getattr(part, name))
    elif isinstance(part, Mapping):
        yield from references(list(part.values()))
    elif isinstance(part, list | tuple):
        for one in part:
            yield from references(one)


def score_class(mva: Mva, config: Config) -> int:
    """Position of the class whose probability is the score: of the signals, else the last."""
    named = config.statistics.signals if config.statistics is not None else None
    of_signal = [
        i
        for i, entry in enumerate(mva.classes)
        if any(config.is_signal(one) if named is None else one in named for one in entry.processes)
    ]
    return of_signal[-1] if of_signal else len(mva.classes) - 1


def column_names(mva: Mva) -> tuple[str, ...]:
    """Name the columns: the score and, for more than two classes, the probability of each."""
    each = [f"{mva.name}_{one.name}" for one in mva.classes]
    return (mva.name, *(each if len(each) > 2 else ()))


def with_scores(config: Config, *, trained: bool = True) -> Config:
    """Return a configuration with a derived column for each classifier whose score is read.

    Parameters
    ----------
    config
        The configuration.
    trained
        Whether there should be models; without, scores are 0 until there are.

    Raises
    ------
    InputError
        If a model is not there or does not fit.
    """
    derived = list(config.ghost_observables)
    parts = (config.active_channels, config.corrections, config.systematics)
    fields = {ref.field for ref in references(parts) if ref.obj == MVA}
    for mva in reversed(config.mva):  # features may use the scores of classifiers before it
        names = column_names(mva)
        if any(MVA in one.collections and mva.name in one.names for one in derived):
            raise InputError(f"mva.{mva.name}: a derived column has the same name")
        readers = [
            position
            for position, entry in enumerate(derived)
            if any(ref.obj == MVA and ref.field in names for ref in entry.use)
        ]
        is_needed = bool(readers or fields & set(names))
        if not (is_needed or None in fields):
            continue
        try:
            predictor = load(mva, config, trained=trained)
        except InputError as exc:
            if is_needed:
                raise
            log.warning("no score %s: %s", mva.name, exc)  # the whole collection is read
            continue
        positions = (score_class(mva, config), *range(len(mva.classes)))[: len(names)]
        score = Score(FeatureMatrix.of(mva), predictor, positions)
        score_column = DerivedColumn(
            names=names, collections=(MVA,) * len(names), function=score, use=score.use
        )
        derived.insert(min(readers, default=len(derived)), score_column)
    return config.model_copy(update={"ghost_observables": tuple(derived)})

"""A trained model that gives an event the same bits in any array: loaded once in each process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from intccms.errors import InputError
from intccms.functors.objects import event_seeds

__all__ = ["Predictor", "fold_of"]

Matrix = NDArray[np.float64]
Predict = Callable[[Matrix], Any]
Loaded = tuple[tuple[Predict, ...], Callable[[], AbstractContextManager[Any]]]

# A matrix product may sum in another order when its length is another: every call has this one.
# It is a multiple of 8, 12, 16, 24 and 48, so that no row falls to the code for left-over rows.
BLOCK = 1536
INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def fold_of(identity: Any, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Say to which of `n_folds` equal parts each event belongs, by a hash of it alone.

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
        return (_onnx(content, classes),), nullcontext
    from threadpoolctl import ThreadpoolController

    models = pickle.loads(content)
    threads = ThreadpoolController()  # knows the libraries that the models have just brought in
    return tuple(one.predict_proba for one in models), lambda: threads.limit(limits=1)


def _onnx(content: bytes, classes: tuple[str, ...]) -> Callable[[Matrix], Matrix]:
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

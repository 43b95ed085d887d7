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

__all__ = ["Predictor"]

Matrix = NDArray[np.float64]
Loaded = tuple[Callable[[Matrix], Any], Callable[[], AbstractContextManager[Any]]]

# A matrix product may sum in another order when its length is another: every call has this one.
# It is a multiple of 8, 12, 16, 24 and 48, so that no row falls to the code for left-over rows.
BLOCK = 1536
INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


@dataclass(frozen=True)
class Predictor:
    """Probabilities of the classes.

    Parameters
    ----------
    kind
        What `content` is: the pickle of an estimator or an ONNX model.
    content
        The model.
    classes
        Names, in the order of the columns.
    """

    kind: Literal["pickle", "onnx"]
    content: bytes
    classes: tuple[str, ...]

    def __call__(self, matrix: Matrix) -> Matrix:
        """Evaluate the model.

        Parameters
        ----------
        matrix : shape (n_events, n_features)
            Scaled features.

        Returns
        -------
        shape (n_events, n_classes)
            Each row depends on the features in it and on nothing else.
        """
        answers = np.empty((len(matrix), len(self.classes)))
        if not len(matrix):
            return answers
        predict, one_thread = _loaded(self.kind, self.content, self.classes)
        block = np.empty((BLOCK, matrix.shape[1]))
        with one_thread():
            for start in range(0, len(matrix), BLOCK):
                rows = matrix[start : start + BLOCK]
                block[:] = rows[0]
                block[: len(rows)] = rows
                answers[start : start + BLOCK] = predict(block)[: len(rows)]
        return answers


@lru_cache(maxsize=16)
def _loaded(kind: str, content: bytes, classes: tuple[str, ...]) -> Loaded:
    if kind == "onnx":
        return _onnx(content, classes), nullcontext
    from threadpoolctl import ThreadpoolController

    model = pickle.loads(content)
    threads = ThreadpoolController()  # knows the libraries that the model has just brought in
    return model.predict_proba, lambda: threads.limit(limits=1)


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

"""The features of a classifier as one function of their inputs; pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from intccms.errors import FunctorError
from intccms.execution.failures import user_code
from intccms.functors.calls import as_flat
from intccms.schema import Feature, Functor, Mva

__all__ = ["FeatureMatrix"]

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
    def functor(self) -> Functor:
        """The function itself, with the inputs of all features."""
        return Functor(function=self, use=tuple(ref for one in self.features for ref in one.use))

    def __call__(self, *inputs: Any) -> Matrix:
        """Evaluate the features of some events.

        Returns
        -------
        shape (n_events, n_features)
            Not scaled.

        Raises
        ------
        FunctorError
            If one is not one finite number for each event.
        """
        given, n = iter(inputs), len(inputs[0])
        columns = []
        for feature in self.features:
            key, use = self._key(feature), list(islice(given, len(feature.use)))
            try:
                with user_code(key, feature.function):
                    answer = feature.function(*use, **feature.static_kwargs)
            except Exception as exc:
                exc.add_note(f"in {key}")
                raise
            columns.append(_finite(as_flat(answer, n, key), key))
        return np.stack(columns, axis=1)

    def scaled(self, matrix: Matrix) -> Matrix:
        """Apply the ``scale`` of each feature to what a call gave.

        Raises
        ------
        FunctorError
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
        raise FunctorError(
            f"{key}: NaN or infinite in {n_bad} of {len(wide)} events; give each event a number, "
            "e.g. with ak.fill_none or np.where"
        )
    return wide

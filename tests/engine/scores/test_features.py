"""Features as one function: one finite number for each event, or a name of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.engine.scores import FeatureMatrix
from intccms.errors import FunctionError
from intccms.schema import Mva

PT, MASS = ak.Array([10.0, 20.0, 40.0]), ak.Array([1, 2, 3])


def matrix(*features: dict[str, Any]) -> FeatureMatrix:
    block = {
        "name": "nn",
        "estimator": lambda: None,
        "classes": ["a", "b"],
        "features": [{"use": [("Jet", "pt")], **one} for one in features],
    }
    return FeatureMatrix.of(Mva.model_validate(block))


def feature(function: Callable[..., Any], **more: Any) -> dict[str, Any]:
    return {"name": "x", "function": function, **more}


def test_columns_are_in_the_order_of_the_features() -> None:
    both = matrix(
        feature(lambda pt, by: pt / by, static_kwargs={"by": 10}),
        {"name": "y", "function": lambda pt, m: pt - m, "use": [("Jet", "pt"), ("Jet", "mass")]},
    )
    assert len(both.spec.use) == 3
    found = both(PT, PT, MASS)
    np.testing.assert_array_equal(found, [[1, 9], [2, 18], [4, 37]])
    assert found.dtype == np.float64


def test_a_scale_is_applied_to_its_feature_only() -> None:
    both = matrix(feature(lambda pt: pt, scale=lambda x: x / 10), feature(np.sqrt) | {"name": "y"})
    raw = both(PT, PT)
    np.testing.assert_array_equal(both.scaled(raw)[:, 0], [1, 2, 4])
    np.testing.assert_array_equal(both.scaled(raw)[:, 1], raw[:, 1])


def test_labels_and_bins_do_not_decide_what_is_computed() -> None:
    plain = matrix(feature(np.sqrt))
    shown = matrix(feature(np.sqrt, label="$x$", binning="0,1,2"))
    assert plain.features[0].label == shown.features[0].label
    assert shown.features[0].binning is None


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda pt: np.where(pt > 15, pt, np.nan), r"features\.x: NaN or infinite in 1 of 3"),
        (lambda pt: 1 / (pt - 20) ** 2, r"features\.x: NaN or infinite in 1 of 3"),
        (lambda pt: ak.mask(pt, pt > 15), r"features\.x: one value per event"),
        (lambda pt: ak.singletons(pt), r"features\.x: one value per event"),
        (lambda pt: pt[:2], r"features\.x: 3 events went in"),
    ],
)
def test_what_is_not_a_number_for_each_event_is_named(
    function: Callable[..., Any], says: str
) -> None:
    with np.errstate(divide="ignore"), pytest.raises(FunctionError, match=says):
        matrix(feature(function))(PT)


def test_a_scale_that_gives_no_number_is_named() -> None:
    logarithm = matrix(feature(lambda pt: pt - 10, scale=np.log))
    with np.errstate(divide="ignore"), pytest.raises(FunctionError, match=r"x\.scale: NaN or inf"):
        logarithm.scaled(logarithm(PT))


def test_an_error_of_a_feature_says_which_it_is() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        matrix(feature(lambda pt: 1 / 0))(PT)
    assert raised.value.__notes__ == ["in mva.nn.features.x"]

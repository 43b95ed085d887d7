from __future__ import annotations

import numpy as np
import pyhf
import pytest

from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import build_workspace
from intccms.statistics.optimizer import Expectation

SETTINGS = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}


def numerical(model: pyhf.Model, parameters: np.ndarray) -> np.ndarray:
    columns = []
    for index in range(parameters.size):
        step = np.zeros_like(parameters)
        step[index] = 1e-4
        high, low = (model.main_model.expected_data(parameters + s) for s in (step, -step))
        columns.append((high - low) / 2e-4)
    return np.stack(columns, axis=1)


def away_from_the_start(model: pyhf.Model, seed: int) -> np.ndarray:
    start = np.asarray(model.config.suggested_init())
    return start + np.random.default_rng(seed).uniform(-0.4, 0.4, start.size)


@pytest.mark.parametrize("seed", [1, 2])
def test_derivatives_are_those_of_small_steps(config: Config, book: Book, seed: int) -> None:
    model, _ = build_workspace(config, book, "signal").model_and_data()
    parameters = away_from_the_start(model, seed)
    expected, derivatives = Expectation(model).with_derivatives(parameters)
    assert expected == pytest.approx(model.main_model.expected_data(parameters))
    assert derivatives == pytest.approx(numerical(model, parameters), rel=1e-4, abs=1e-3)


def test_a_strength_of_0_has_a_derivative(config: Config, book: Book) -> None:
    model, _ = build_workspace(config, book, "signal").model_and_data()
    parameters = np.asarray(model.config.suggested_init())
    parameters[model.config.poi_index] = 0.0
    _, derivatives = Expectation(model).with_derivatives(parameters)
    assert derivatives[3:, model.config.poi_index] == pytest.approx([1.0, 6.0, 3.0])


def test_parameters_that_two_channels_share_are_differentiated_too() -> None:
    shared = [
        {"name": "mu", "type": "normfactor", "data": None},
        {"name": "lumi", "type": "lumi", "data": None},
        {"name": "shape", "type": "shapefactor", "data": None},
    ]
    channels = [
        {
            "name": name,
            "samples": [
                {"name": "a", "data": data, "modifiers": shared},
                {"name": "b", "data": [4.0, 5.0], "modifiers": shared[1:2]},
            ],
        }
        for name, data in (("sr", [10.0, 20.0]), ("cr", [30.0, 40.0]))
    ]
    lumi = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.1], "inits": [1.0], "bounds": [[0, 2]]}
    model = pyhf.Model({"channels": channels, "parameters": [lumi]}, modifier_settings=SETTINGS)
    parameters = away_from_the_start(model, 3)
    _, derivatives = Expectation(model).with_derivatives(parameters)
    assert derivatives == pytest.approx(numerical(model, parameters), rel=1e-4, abs=1e-3)


def test_a_clipped_bin_does_not_change(config: Config, book: Book) -> None:
    model, _ = build_workspace(config, book, "signal").model_and_data()
    parameters = np.asarray(model.config.suggested_init())
    parameters[model.config.poi_index] = -50.0
    expected, derivatives = Expectation(model).with_derivatives(parameters)
    assert expected[4] == pytest.approx(1e-10)
    assert not derivatives[4].any()

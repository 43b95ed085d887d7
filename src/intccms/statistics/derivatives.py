"""Expectation of a pyhf model with its derivatives, all from two evaluations of the modifiers.

A bin holds sum_s prod_f f (nominal_s + sum_d d): each factor f and each addend d belongs to one
parameter, so all of them are differentiated in one step, and the product rule does the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyhf

__all__ = ["Expectation"]

Array = npt.NDArray[np.float64]

STEP = 1e-6  # of a parameter
ADDED, MULTIPLIED = "addition", "multiplication"


class Expectation:
    """Expected events per bin as a function of all parameters of a model."""

    def __init__(self, model: pyhf.Model):
        self.model = model
        self._main = model.main_model
        self._n_parameters = model.config.npars
        self._n_bins = model.config.nmaindata
        kinds = list(self._main.modifiers_appliers)
        self._names = {
            kind: [name for name, of in model.config.modifiers if of == kind] for kind in kinds
        }
        self._indices = {
            name: np.arange(self._n_parameters)[model.config.par_slice(name)]
            for names in self._names.values()
            for name in names
        }
        self._bins = _bins_of_single(model)
        single = {name for name, own in self._indices.items() if own.size == 1} | set(self._bins)
        self._others = np.unique(
            [i for name, own in self._indices.items() if name not in single for i in own]
        ).astype(int)

    def __call__(self, parameters: Array) -> Array:
        """Events per bin."""
        return np.asarray(self._main.expected_data(parameters))

    def with_derivatives(self, parameters: Array) -> tuple[Array, Array]:
        """Events per bin and, shape (n_bins, n_parameters), their derivatives."""
        before, after = self._modifiers(parameters), self._modifiers(parameters + STEP)
        product, others = _products(before[MULTIPLIED])
        total = before[ADDED].sum(axis=0) + self._main.nominal_rates[0]
        weight = {ADDED: product, MULTIPLIED: others * total}
        expected = np.asarray((product * total).sum(axis=(0, 1)))
        result = np.zeros((self._n_bins, self._n_parameters))
        for code, rows in self._rows().items():
            change = (weight[code] * (after[code] - before[code])).sum(axis=(1, 2)) / STEP
            for name, of_bins in zip(rows, change, strict=True):
                if name in self._bins:
                    bins = self._bins[name]
                    result[bins, self._indices[name]] += of_bins[bins]
                elif self._indices[name].size == 1:
                    result[:, self._indices[name][0]] += of_bins
        for index in self._others:
            shifted = parameters.copy()
            shifted[index] += STEP
            result[:, index] = (self(shifted) - self(parameters)) / STEP
        if self._main.clip_bin_data is not None:
            low = expected < self._main.clip_bin_data
            expected = np.where(low, self._main.clip_bin_data, expected)
            result[low] = 0.0
        return expected, result

    def _rows(self) -> dict[str, list[str]]:
        """Name the modifiers that are added and those that are multiplied, as they are stored."""
        return {
            code: [
                name
                for kind, names in self._names.items()
                if self._main.modifiers_appliers[kind].op_code == code
                for name in names
            ]
            for code in (ADDED, MULTIPLIED)
        }

    def _modifiers(self, parameters: Array) -> dict[str, Array]:
        """All addends and all factors, shape (n_modifiers, n_samples, 1, n_bins)."""
        result = {}
        for code in (ADDED, MULTIPLIED):
            appliers = [
                one for one in self._main.modifiers_appliers.values() if one.op_code == code
            ]
            found = [one.apply(parameters) for one in appliers]
            empty = np.zeros((0, *self._main.nominal_rates.shape[1:]))
            result[code] = np.concatenate([empty, *(one for one in found if one is not None)])
        return result


def _products(factors: Array) -> tuple[Array, Array]:
    """Product along the first axis, and the product of all but each one; factors may be 0."""
    one = np.ones((1, *factors.shape[1:]))
    before = np.cumprod(np.concatenate([one, factors]), axis=0)
    after = np.cumprod(np.concatenate([one, factors[::-1]]), axis=0)[::-1]
    return before[-1], before[:-1] * after[1:]


def _bins_of_single(model: pyhf.Model) -> dict[str, npt.NDArray[np.int_]]:
    """Bins of the statistical errors of one channel each: one parameter for one bin."""
    bins = np.arange(model.config.nmaindata)
    result = {}
    for name in (name for name, kind in model.config.modifiers if kind == "staterror"):
        owners = [
            channel["name"]
            for channel in model.spec["channels"]
            if any(one["name"] == name for s in channel["samples"] for one in s["modifiers"])
        ]
        if len(owners) == 1:
            result[name] = bins[model.config.channel_slices[owners[0]]]
    return result

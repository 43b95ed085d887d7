"""Make templates fit for a likelihood: positive, smooth where asked for, blinded."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from cabinetry import configuration, smooth

from intccms.errors import FitError
from intccms.statistics.changes import Change
from intccms.statistics.templates.collection import Array, Template, TemplateSet

__all__ = ["EMPTY", "FLOOR", "repair"]

log = logging.getLogger(__name__)

FLOOR = 1e-3  # events in a bin without background: the likelihood needs more than 0
EMPTY = 1e-9  # events per bin of a sample without any in this region
LARGEST_MIRRORED = 1.9  # a one-sided change of norm by 2 would be mirrored to a norm of 0
FEWEST_BINS = 3  # the running medians need so many


def repair(result: TemplateSet) -> None:
    """Repair, smooth and blind the templates in place; `TemplateSet.changes` says what was done.

    Raises
    ------
    FitError
        If a region has no background at all.
    """
    systematics = {one["Name"]: one for one in result.config.get("Systematics", [])}
    for region in result.regions:
        _repair_nominal(result, region)
        for key in [key for key in result.templates if key[0] == region and key[3] is not None]:
            _, sample, name, direction = key
            assert direction is not None
            varied = _Varied(result, (region, sample, name, direction), systematics[name])
            varied.repair()
            result.templates[key] = Template(varied.values, result.templates[key].variances)
        _blind(result, region)


def _repair_nominal(result: TemplateSet, region: str) -> None:
    """No negative sample, no bin without background: each is set to a small number and noted."""
    for sample in result.samples(region):
        values, variances = result.nominal(region, sample)
        where = (region, sample, "", "")
        if negative := int((values < 0).sum()):
            amount = float(-values[values < 0].sum())
            text = f"{negative} negative bins set to 0"
            result.note(Change("clipped", *where, text, amount, "events"))
        if not (values > 0).any():
            amount = EMPTY * values.size
            result.note(Change("filled", *where, "template is empty", amount, "events"))
            values, variances = np.full_like(values, EMPTY), np.zeros_like(values)
        repaired = Template(np.maximum(values, 0.0), variances)
        result.templates[region, sample, "", None] = repaired
    empty = result.background(region) <= EMPTY * len(result.samples(region))
    if empty.all():
        raise FitError(f"{region}: no background in any bin, nothing can be fitted")
    if empty.any():
        _floor(result, region, empty)


def _floor(result: TemplateSet, region: str, empty: npt.NDArray[np.bool_]) -> None:
    """Put a small background with an error of 100 % where there is none."""
    names = result.backgrounds(region)
    largest = max(names, key=lambda name: result.nominal(region, name).values.sum())
    values, variances = result.nominal(region, largest)
    floored = Template(np.where(empty, FLOOR, values), np.where(empty, FLOOR**2, variances))
    result.templates[region, largest, "", None] = floored
    for key, template in result.templates.items():
        if key[:2] == (region, largest) and key[3] is not None:
            values = np.where(empty, FLOOR, template.values)
            result.templates[key] = Template(values, template.variances)
    bins = [int(index) for index in np.flatnonzero(empty)]
    text = f"bins {bins} have no background, set to {FLOOR:g} events"
    result.note(Change("filled", region, largest, "", "", text, FLOOR * len(bins), "events"))


class _Varied:
    """One varied template on its way into the likelihood."""

    def __init__(
        self, result: TemplateSet, key: tuple[str, str, str, str], systematic: dict[str, Any]
    ) -> None:
        self.key, self.systematic, self.note = key, systematic, result.note
        self.values: Array = result.templates[key].values  # type: ignore[index]
        self.nominal = result.nominal(*key[:2]).values

    def repair(self) -> None:
        """Give a variation the guarantees of the nominal, smooth it, say that it is mirrored."""
        below = (self.values < 0) & (self.nominal > 0)  # elsewhere the nominal was clipped too
        if negative := int(below.sum()):
            amount = float(-self.values[below].sum())
            self._note("clipped", f"{negative} negative bins set to 0", amount, unit="events")
        self.values = np.maximum(self.values, 0.0)
        if self.nominal.max() <= EMPTY:
            self.values = self.nominal
            return
        if self.values.sum() <= 0:
            self.values = self.nominal * EMPTY
            self._note("filled", "template is empty", float(self.values.sum()), unit="events")
        self._smooth()
        if self.systematic.get("Down", {}).get("Symmetrize", False):
            self._prepare_mirror()

    def _smooth(self) -> None:
        """Smooth the ratio to the nominal where the configuration says so; the norm stays.

        The algorithm is cabinetry's; bins without events are left out of the ratio.
        """
        setting = self.systematic.get("Smoothing")
        filled = self.nominal > 0
        if setting is None or filled.sum() < FEWEST_BINS or not _concerns(setting, *self.key[:2]):
            return
        ratio = self.values[filled] / self.nominal[filled]
        smoothed = smooth.smooth_353qh_twice(ratio) * self.nominal[filled]
        if smoothed.sum() <= 0:
            return
        before, self.values = self.values, self.values.copy()
        self.values[filled] = smoothed * (before[filled].sum() / smoothed.sum())
        if largest := self._largest(before):
            self._note("smoothed", setting["Algorithm"], largest)

    def _prepare_mirror(self) -> None:
        norm = self.values.sum() / self.nominal.sum()
        if norm > LARGEST_MIRRORED:
            self.values = self.values * (LARGEST_MIRRORED / norm)
            self._note("reduced", "doubles the norm, reduced to be mirrored", norm - 1)
        text = "has one side, the other is its mirror image"
        self._note("symmetrised", text, self._largest(self.nominal))

    def _largest(self, before: Array) -> float:
        """Largest change of a bin, relative to the nominal."""
        filled = self.nominal > 0
        change = abs(self.values - before)[filled] / self.nominal[filled]
        return float(change.max(initial=0.0))

    def _note(self, action: Any, text: str, amount: float, *, unit: Any = "relative") -> None:
        self.note(Change(action, *self.key, text, float(amount), unit))


def _concerns(setting: dict[str, Any], region: str, sample: str) -> bool:
    """Whether a setting that may name regions and samples means these."""
    return configuration.sample_contains_modifier(
        {"Name": sample}, setting
    ) and configuration.region_contains_modifier({"Name": region}, setting)


def _blind(result: TemplateSet, region: str) -> None:
    """Put the background-only prediction where data may not be looked at."""
    blinded = result.regions[region].blinded
    key = (region, result.data, "", None)
    background = result.background(region)
    values = result.templates[key].values if key in result.templates else background
    values = np.where(blinded, background, values)
    result.templates[key] = Template(values, values)
    if blinded.any():
        log.info("%s: the expected background stands in for data in blinded bins", region)

"""Make templates fit for a likelihood: positive, smooth where asked for, mirrored, blinded.

A repair never makes a result stronger: what simulation does not tell becomes an uncertainty.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from cabinetry import configuration, smooth

from intccms.errors import FitError
from intccms.statistics.templates import Array, Change, Template, TemplateSet

log = logging.getLogger(__name__)

SMALLEST_WEIGHT = 1e-3  # events; of a simulated one, where errors do not tell
ERROR_OF_NONE = 2.0  # weights: 1, 2, 3 sigma of no simulated event are 1.8, 3.8, 6.6 of them
ERROR_OF_FEW = 1.2  # weights that are added: 3 sigma of 1, 3, 10 simulated events are 7.5, 12, 23
FEW = 10  # effective background events, below which a Poisson distribution is not normal
EMPTY = 1e-9  # events per bin of a sample without any in this region, which is then left out
ADVICE = "their errors are widened, statistics.rebin merges them"
FEWEST_BINS = 3  # the running medians need so many
LARGEST_FACTOR = 10.0  # of a norm, up or down: more is no effect of one standard deviation
FACTOR_OF_ALL = 2.0  # for a source that takes away all events
LARGEST_MIRRORED = 1.5  # a larger norm has its mirror image in the logarithm: 2 - norm nears 0

Bools = npt.NDArray[np.bool_]


def repair(result: TemplateSet) -> None:
    """Repair, smooth and blind the templates in place; `TemplateSet.changes` says what was done.

    A source with one side only gets its other one.

    Raises
    ------
    FitError
        If a region has no background at all.
    """
    systematics = {one["Name"]: one for one in result.config.get("Systematics", [])}
    for region in result.regions:
        raised = _repair_nominal(result, region)
        sources = dict.fromkeys(
            (sample, name)
            for where, sample, name, direction in result.templates
            if where == region and direction is not None
        )
        for sample, name in sources:
            source = _Source(result, (region, sample, systematics[name]), raised.get(sample))
            for direction, values in source.repaired().items():
                key = (region, sample, name, direction)
                result.templates[key] = Template(values, np.zeros_like(values))  # type: ignore[index]
        _blind(result, region)


def _repair_nominal(result: TemplateSet, region: str) -> dict[str, Bools]:
    """No negative sample, no bin without background; give the bins raised in each sample."""
    for sample in result.samples(region):
        values, variances = result.nominal(region, sample)
        where = (region, sample, "", "")
        if negative := int((values < 0).sum()):
            amount = float(-values[values < 0].sum())
            text = f"{negative} negative bins set to 0"
            result.note(Change("clipped", *where, text, amount, "events"))
        result.templates[region, sample, "", None] = Template(np.maximum(values, 0.0), variances)
    if not result.background(region).any():
        raise FitError(f"{region}: no background in any bin, nothing can be fitted")
    raised = _raise_background(result, region)
    for sample in result.samples(region):
        values, variances = result.nominal(region, sample)
        if values.any():
            continue
        text = "template is empty, left out; its error is kept in another sample"
        result.note(Change("left out", region, sample, "", "", text, 0.0, "events"))
        result.left_out.add((region, sample))
        result.templates[region, sample, "", None] = Template(values + EMPTY, 0.0 * variances)
        if sample in result.backgrounds(region):
            _add(result, region, _largest(result, region), (0.0 * values, variances))
    for signal in set(result.samples(region)) - set(result.backgrounds(region)):
        _limit_error(result, region, signal)
    return raised


def _limit_error(result: TemplateSet, region: str, signal: str) -> None:
    """Let a bin of a signal have one effective event at least, as weights of one sign give it.

    With less in the whole region, the error says nothing of the signal.
    """
    values, variances = result.nominal(region, signal)
    if values.sum() ** 2 < variances.sum() * (1 - 1e-9):
        text = "less than one effective event: no statistical error of its own"
        result.note(Change("reduced", region, signal, "", "", text, 0.0, "events"))
        variances = 0.0 * variances
    limited = Template(values, np.minimum(variances, values**2))
    result.templates[region, signal, "", None] = limited


def _largest(result: TemplateSet, region: str) -> str:
    """Name the background with the most events."""
    names = result.backgrounds(region)
    return max(names, key=lambda name: float(result.nominal(region, name).values.sum()))


def _add(result: TemplateSet, region: str, sample: str, more: tuple[Array, Array]) -> None:
    values, variances = result.nominal(region, sample)
    result.templates[region, sample, "", None] = Template(values + more[0], variances + more[1])


def _raise_background(result: TemplateSet, region: str) -> dict[str, Bools]:
    """Let each bin with few simulated events hold what simulation does not exclude.

    A bin without one effective background event gets one of the weight that simulated ones have
    in the nearest filled bins, those of the process where they weigh most, with an error of
    twice that, or with the error that the bin has: events of either sign may add up to nothing.
    Where there are a few, their error grows: it is that of a normal distribution, which excludes
    more of a larger background than a Poisson distribution of the simulated events does.
    """
    names = result.backgrounds(region)
    nominal = {name: result.nominal(region, name) for name in names}
    total = np.sum([one.values for one in nominal.values()], axis=0)
    variance = np.sum([one.variances for one in nominal.values()], axis=0)
    n_effective = np.divide(total**2, variance, out=np.full_like(total, np.inf), where=variance > 0)
    is_empty = (total <= 0) | (n_effective < 1 - 1e-9)
    few = np.flatnonzero(is_empty | (n_effective < FEW * (1 - 1e-9)))
    raised: dict[str, Bools] = {}
    for index in few:
        near = _nearest(~is_empty, int(index)) if is_empty[index] else [int(index)]
        name, weight = _heaviest(nominal, near)
        value, error = float(total[index]), float(variance[index]) ** 0.5
        if is_empty[index]:
            value, error = max(value, weight), max(error, ERROR_OF_NONE * weight)
            raised.setdefault(name, np.zeros(total.size, dtype=np.bool_))[index] = True
        else:
            error += ERROR_OF_FEW * error**2 / value
        more = np.zeros((2, total.size))
        more[:, index] = value - total[index], error**2 - variance[index]
        _add(result, region, name, (more[0], more[1]))
        if is_empty[index]:
            text = f"bin {index} without background, set to {value:.3g} ± {error:.3g} events"
            amount = float(more[0, index])
            result.note(Change("filled", region, name, "", "", text, amount, "events"))
    if few.size:
        smallest = float(np.where(is_empty, 0.0, n_effective)[few].min())
        text = f"bins {few.tolist()} have less than {FEW} effective background events: {ADVICE}"
        result.note(Change("thin", region, "", "", "", text, smallest, "events"))
    return raised


def _nearest(filled: Bools, index: int) -> list[int]:
    """Nearest filled bin on either side; all bins where none is filled."""
    bins = np.flatnonzero(filled)
    if not bins.size:
        return list(range(filled.size))
    return [*bins[bins < index][-1:].tolist(), *bins[bins > index][:1].tolist()]


def _heaviest(nominal: dict[str, Template], bins: list[int]) -> tuple[str, float]:
    """Process whose simulated events weigh most in some bins, and their effective weight."""
    weights = {}
    for name, (values, variances) in nominal.items():
        if (events := float(values[bins].sum())) > 0:
            weights[name] = float(variances[bins].sum()) / events
    name = max(weights, key=lambda one: weights[one])
    return name, weights[name] or SMALLEST_WEIGHT


class _Source:
    """Both sides of one source in one sample, on their way into the likelihood."""

    def __init__(
        self,
        result: TemplateSet,
        where: tuple[str, str, dict[str, Any]],
        raised: Bools | None,
    ) -> None:
        region, sample, self.systematic = where
        self.key, self.note = (region, sample, self.systematic["Name"]), result.note
        self.nominal = result.nominal(region, sample).values
        self.raised = np.zeros(self.nominal.size, dtype=np.bool_) if raised is None else raised
        self.is_left_out = (region, sample) in result.left_out
        self.sides: dict[str, Array] = {
            direction: result.templates[*self.key, direction].values
            for direction in ("Up", "Down")
            if (*self.key, direction) in result.templates
        }

    def repaired(self) -> dict[str, Array]:
        """Give both sides the guarantees of the nominal."""
        if self.is_left_out:
            return {"Up": self.nominal, "Down": self.nominal}
        for direction, values in self.sides.items():
            self.sides[direction] = self._smooth(direction, self._positive(direction, values))
        self._fill_empty()
        if self.systematic.get("Down", {}).get("Symmetrize", False):
            self._mirror()
        return {direction: self._bounded(direction) for direction in self.sides}

    def _positive(self, direction: str, values: Array) -> Array:
        below = (values < 0) & (self.nominal > 0)  # elsewhere the nominal was clipped too
        if negative := int(below.sum()):
            amount = float(-values[below].sum())
            text = f"{negative} negative bins set to 0"
            self._note("clipped", direction, text, amount, unit="events")
        return np.maximum(values, 0.0)

    def _smooth(self, direction: str, before: Array) -> Array:
        """Smooth the ratio to the nominal where the configuration says so; the norm stays.

        The algorithm is cabinetry's; bins without events are left out of the ratio.
        """
        setting = self.systematic.get("Smoothing")
        filled = (self.nominal > 0) & ~self.raised
        if setting is None or filled.sum() < FEWEST_BINS or not _concerns(setting, *self.key[:2]):
            return before
        smoothed = smooth.smooth_353qh_twice(before[filled] / self.nominal[filled])
        smoothed = smoothed * self.nominal[filled]
        if smoothed.sum() <= 0:
            return before
        values = before.copy()
        values[filled] = smoothed * (before[filled].sum() / smoothed.sum())
        if largest := self._change(values, before):
            self._note("smoothed", direction, setting["Algorithm"], largest)
        return values

    def _fill_empty(self) -> None:
        """Let a source that takes away all events change them by a factor."""
        empty = [direction for direction, values in self.sides.items() if values.sum() <= 0]
        other = max((self._norm(v) for d, v in self.sides.items() if d not in empty), default=0.0)
        for direction in empty:
            factor = 1.0 / max(FACTOR_OF_ALL, other)
            if len(empty) == 2 and direction == "Up":
                factor = FACTOR_OF_ALL
            self.sides[direction] = self.nominal * factor
            text = f"template is empty, set to {factor:.3g} of the nominal"
            self._note("filled", direction, text, factor - 1)

    def _mirror(self) -> None:
        """Add the side that is missing: first the norm is mirrored, then the shape."""
        norm = self._norm(self.sides["Up"])
        mirrored = 2.0 * self.nominal - self.sides["Up"] / norm
        if (mirrored < 0).any():
            amount = float(-mirrored[mirrored < 0].sum() / self.nominal.sum())
            text = f"{(mirrored < 0).sum()} mirrored bins below 0 set to 0"
            self._note("clipped", "Down", text, amount)
        down = 2.0 - norm if norm < LARGEST_MIRRORED else 1.0 / norm
        self.sides["Down"] = np.maximum(mirrored, 0.0) * down
        text = "has one side, the other is its mirror image"
        self._note("symmetrised", "Up", text, self._change(self.sides["Up"], self.nominal))

    def _bounded(self, direction: str) -> Array:
        """Keep the norm within reason, and raised bins at least as high as the rate asks."""
        values = self.sides[direction]
        norm = self._norm(values)
        bounded = float(np.clip(norm, 1.0 / LARGEST_FACTOR, LARGEST_FACTOR))
        if bounded != norm:
            values = values * (bounded / norm)
            text = f"changes the norm by a factor {norm:.3g}, set to {bounded:g}"
            self._note("reduced", direction, text, norm - 1)
        floor = np.where(self.raised, self.nominal * bounded, 0.0)
        return np.maximum(values, floor)

    def _norm(self, values: Array) -> float:
        """Ratio of the sums, bins left out that hold no simulated events."""
        known = ~self.raised
        if not self.nominal[known].any() or not values[known].any():
            known = np.ones_like(known)
        return float(values[known].sum() / self.nominal[known].sum())

    def _change(self, values: Array, before: Array) -> float:
        """Largest change of a bin, relative to the nominal."""
        filled = (self.nominal > 0) & ~self.raised
        change = abs(values - before)[filled] / self.nominal[filled]
        return float(change.max(initial=0.0))

    def _note(
        self, action: Any, direction: str, text: str, amount: float, *, unit: Any = "relative"
    ) -> None:
        self.note(Change(action, *self.key, direction, text, float(amount), unit))


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

"""Leave out of a workspace what has no effect: systematics below a threshold; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from intccms.errors import InputError, nearest
from intccms.statistics.changes import Change

__all__ = ["NO_PRUNING", "Thresholds", "pruned", "thresholds", "without_unused"]

Modifier = dict[str, Any]


class Thresholds(NamedTuple):
    """Relative effects below which a systematic is left out of a sample in a region."""

    Normalization: float = 1e-3  # of the norm
    Shape: float = 1e-3  # of any bin, the norm kept


NO_PRUNING = Thresholds(0.0, 0.0)


def thresholds(block: object) -> Thresholds:
    """Read ``Pruning`` of a cabinetry configuration, which cabinetry itself does not know.

    Raises
    ------
    InputError
        If it is not as it should be; one line.
    """
    if not isinstance(block, Mapping):
        raise InputError(f"Pruning: {block!r} is not a table of {', '.join(Thresholds._fields)}")
    for name, value in block.items():
        if name not in Thresholds._fields:
            raise InputError(f"Pruning: no key {name!r}; {nearest(name, Thresholds._fields)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise InputError(f"Pruning.{name}: {value!r} is not a number from 0 on")
    return Thresholds(**block)


def pruned(spec: dict[str, Any], limits: Thresholds) -> tuple[dict[str, Any], list[Change]]:
    """Leave out what is below the thresholds, and note what is odd about the rest.

    Parameters
    ----------
    spec
        Workspace of pyhf; it stays as it is.
    limits
        Thresholds; 0 keeps everything.

    Returns
    -------
    spec, changes
        A workspace without what has no effect.
    """
    changes: list[Change] = []
    channels = []
    for channel in spec["channels"]:
        samples = []
        for sample in channel["samples"]:
            kept = []
            for modifier in sample["modifiers"]:
                found = _findings(modifier, sample["data"], limits)
                where = (channel["name"], sample["name"], modifier["name"])
                changes += [_change(where, one) for one in found]
                if all(one[0] != "pruned" for one in found):
                    kept.append(modifier)
            samples.append({**sample, "modifiers": kept})
        channels.append({**channel, "samples": samples})
    return without_unused({**spec, "channels": channels}), changes


Finding = tuple[Any, str, str, float]  # action, direction, reason, relative amount


def _change(where: tuple[str, str, str], finding: Finding) -> Change:
    region, sample, systematic = where
    action, direction, reason, amount = finding
    return Change(action, region, sample, systematic, direction, reason, amount, "relative")


def _findings(modifier: Modifier, nominal: list[float], limits: Thresholds) -> list[Finding]:
    """Say what there is to say about a modifier; that it is pruned perhaps."""
    data = modifier["data"]
    if modifier["type"] == "normsys":
        return list(_norm_findings(data["hi"], data["lo"], limits.Normalization))
    if modifier["type"] != "histosys":
        return []
    bins = np.asarray(nominal, dtype=float)
    change = abs(np.asarray([data["hi_data"], data["lo_data"]], dtype=float) - bins).max(axis=0)
    if change[bins <= 0].any():  # events where there were none
        return []
    largest = float((change[bins > 0] / bins[bins > 0]).max(initial=0.0))
    if largest < limits.Shape:
        return [("pruned", "", f"shape changes less than {limits.Shape:g}", largest)]
    return []


def _norm_findings(up: float, down: float, limit: float) -> Iterator[Finding]:
    effects = np.asarray([up, down]) - 1.0
    largest, smallest = float(abs(effects).max()), float(abs(effects).min())
    if largest < limit:
        yield "pruned", "", f"norm changes less than {limit:g}", largest
    elif effects.prod() > 0 and smallest >= limit:
        word = "raise" if up > 1 else "lower"
        yield "kept", "", f"up and down both {word} the norm", smallest


def without_unused(spec: dict[str, Any]) -> dict[str, Any]:
    """Forget the settings of parameters that are in no sample of a workspace any more."""
    used = {
        one["name"]
        for channel in spec["channels"]
        for sample in channel["samples"]
        for one in sample["modifiers"]
    }
    measurements = []
    for one in spec["measurements"]:
        parameters = [p for p in one["config"]["parameters"] if p["name"] in used]
        config = {**one["config"], "parameters": parameters}
        measurements.append({**one, "config": config})
    return {**spec, "measurements": measurements}

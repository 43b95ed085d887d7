"""Workspaces of few bins, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intccms.statistics import POI, Workspace
from intccms.statistics.templates import Region

Modifiers = Sequence[dict[str, Any]]


def counting(
    observed: Sequence[float],
    background: Sequence[float],
    signal: Sequence[float] = (1.0,),
    *,
    of_signal: Modifiers = (),
    of_background: Modifiers = (),
) -> Workspace:
    """Return a workspace of one channel without any uncertainty but the modifiers given."""
    strength = {"name": POI, "type": "normfactor", "data": None}
    samples = [
        {"name": "signal", "data": list(signal), "modifiers": [strength, *of_signal]},
        {"name": "background", "data": list(background), "modifiers": list(of_background)},
    ]
    parameter = {"name": POI, "inits": [1.0], "bounds": [[-100.0, 100.0]]}
    spec = {
        "channels": [{"name": "sr", "samples": samples}],
        "observations": [{"name": "sr", "data": list(observed)}],
        "measurements": [{"name": "m", "config": {"poi": POI, "parameters": [parameter]}}],
        "version": "1.0.0",
    }
    edges = np.arange(len(background) + 1.0)
    region = Region("sr", "x", "x", edges, np.zeros(edges.size - 1, dtype=bool))
    return Workspace("signal", spec, (region,))


def shape(name: str, nominal: Sequence[float], up: float, down: float) -> dict[str, Any]:
    """Return a source that scales all bins, as a shape: a straight line beyond one sigma."""
    data = {
        "hi_data": [up * one for one in nominal],
        "lo_data": [down * one for one in nominal],
    }
    return {"name": name, "type": "histosys", "data": data}


def rate(name: str, size: float) -> dict[str, Any]:
    """Return a source that scales a process by this factor, or one over it."""
    return {"name": name, "type": "normsys", "data": {"hi": size, "lo": 1.0 / size}}

"""Which data a figure must not show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from intccms.schema import Config

__all__ = ["Blind", "blind_of", "hidden_bins"]

Blind = bool | tuple[float, float] | None  # all data, those in a range, or none are hidden


def blind_of(config: Config, channel: str, observable: str) -> Blind:
    """Blinding that ``statistics.blind`` asks for in one figure.

    A range is one of the fit observable. In another observable of the channel the events of that
    range are anywhere, so there all data are hidden.
    """
    if config.statistics is None or channel not in config.statistics.blind:
        return None
    limits = config.statistics.blind[channel]
    fitted = {item.name: item.fit_observable for item in config.channels}[channel]
    return limits if limits is not None and observable == fitted else True


def hidden_bins(edges: npt.NDArray[np.float64], blind: Blind) -> npt.NDArray[np.bool_]:
    """Bins whose data are not shown: all that the range touches, shape (n_bins,)."""
    if blind is None or isinstance(blind, bool):
        return np.full(edges.size - 1, bool(blind))
    low, high = blind
    return (edges[1:] > low) & (edges[:-1] < high)

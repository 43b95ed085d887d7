"""One setting at several values: yields, sensitivity and expected limit against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from intccms.metrics.tables import Table
from intccms.pipeline.summary import RunResult
from intccms.plots.scan import sensitivity
from intccms.plots.style import Look, look_of


@dataclass(frozen=True)
class Point:
    """What came out at one value of the setting.

    Parameters
    ----------
    value
        Of the setting.
    signals, background
        By channel: expected events of each signal, and of all backgrounds together.
    limits
        By signal, the median expected upper limit on its strength, where it was asked for.
    """

    value: Any
    signals: dict[str, dict[str, float]]
    background: dict[str, float]
    limits: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, result: RunResult) -> Point:
        """Take it from a run."""
        signals: dict[str, dict[str, float]] = {}
        background: dict[str, float] = {}
        book = result.book
        look = look_of(result.config, book)
        for channel in book.channels if book is not None else ():
            assert book is not None
            yields = {name: one.value for name, one in book.yields(channel).items()}
            shown = [name for name in book.mc_processes if name in result.config.signals]
            signals[channel] = {name: yields[name] for name in shown}
            background[channel] = math.fsum(
                yields[name] for name in book.mc_processes if not look.is_signal(name)
            )
        limits = {name: limit.expected[2] for name, limit in result.limits.items()}
        return cls(value, signals, background, limits)

    def significance(self, channel: str, signal: str) -> float:
        """Give S/√B, the sensitivity without uncertainties; not a number without background."""
        below = self.background[channel]
        return self.signals[channel][signal] / math.sqrt(below) if below > 0 else math.nan


def scan_figure(setting: str, points: Sequence[Point], look: Look) -> Figure:
    """Draw S/√B of each channel and signal, and the expected limits, against the setting."""
    places = {
        f"{look.channel(channel)}, {look.label_of(signal)}": (channel, signal)
        for point in points
        for channel, signals in point.signals.items()
        for signal in look.overlaid(signals)
    }
    ratios = {name: [one.significance(*where) for one in points] for name, where in places.items()}
    limited = look.overlaid(dict.fromkeys(name for point in points for name in point.limits))
    limits = {
        look.label_of(name): [one.limits.get(name, math.nan) for one in points] for name in limited
    }
    values = [point.value for point in points]
    return sensitivity(setting, values, ratios, limits, look=look)[0]


def scan_table(setting: str, points: Sequence[Point]) -> Table:
    """List for each value, channel and signal the yields, S/√B and the expected limit."""
    head = [setting, "channel", "signal", "S", "B", "S/√B"]
    with_limits = any(point.limits for point in points)
    rows = [[*head, "expected limit"] if with_limits else head]
    for point in points:
        for channel, signals in point.signals.items():
            for signal, count in signals.items():
                ratio = point.significance(channel, signal)
                row = [str(point.value), channel, signal, f"{count:.4g}"]
                row += [f"{point.background[channel]:.4g}", f"{ratio:.4g}"]
                if with_limits:
                    limit = point.limits.get(signal)
                    row.append("-" if limit is None else f"{limit:.4g}")
                rows.append(row)
    return Table(f"Scan of {setting}", rows)

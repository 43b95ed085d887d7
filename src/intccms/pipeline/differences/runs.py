"""A finished run, as it lies on disk. Reads only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intccms.errors import InputError
from intccms.histograms import Book, storage
from intccms.pipeline.summary import read_summary
from intccms.plots.data_mc import Blind
from intccms.plots.style import Look
from intccms.schema import Plotting

__all__ = ["FinishedRun"]


@dataclass(frozen=True)
class FinishedRun:
    """What a run has left in its output directory."""

    directory: Path
    summary: dict[str, Any]
    settings: dict[str, Any]  # the resolved configuration
    book: Book  # empty where the run has no histograms

    @classmethod
    def load(cls, directory: Path) -> FinishedRun:
        """Read a run.

        Raises
        ------
        InputError
            If the directory holds none, or one that is damaged.
        """
        summary = read_summary(directory)
        path = directory / "config.json"
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        folder = directory / "histograms"
        has_book = (folder / storage.JSON_NAME).exists()
        book = storage.load(folder) if has_book else Book({}, {})
        return cls(directory, summary, settings, book)

    @property
    def look(self) -> Look:
        """How the run draws its figures."""
        lumi = self.settings["general"]["lumi"]
        total = sum(lumi.values()) if isinstance(lumi, dict) else lumi
        signals = (self.settings.get("statistics") or {}).get("signals")
        return Look(
            Plotting.model_validate(self.settings["plotting"]),
            lumi_fb=total / 1000,
            signals=None if signals is None else tuple(signals),
            data=self.book.data_processes,
        )

    def blind(self, channel: str, observable: str) -> Blind:
        """Say which data the run hides, as `blind_of` does from a configuration."""
        blinded = (self.settings.get("statistics") or {}).get("blind") or {}
        if channel not in blinded:
            return None
        fitted = {one["name"]: one["fit_observable"] for one in self.settings["channels"]}
        limits = blinded[channel]
        if limits is None or fitted.get(channel) != observable:
            return True
        low, high = limits
        return float(low), float(high)

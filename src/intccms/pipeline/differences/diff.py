"""What is different between two finished runs, from what they left on disk. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from intccms.histograms.difference import BoolArray, TemplateChange, template_changes
from intccms.pipeline.differences.runs import FinishedRun
from intccms.pipeline.differences.text import ABSENT, Change, change_table, template_table
from intccms.pipeline.identity import leaves
from intccms.plots.data_mc import hidden_bins

__all__ = ["RunDiff", "compare"]

# Settings that say where, how and how much is run: by promise they do not change a result.
HARMLESS = tuple(
    f"general.{name}"
    for name in (
        "base_dir", "batch_memory_mb", "cache_dir", "check_functors", "chunk_size", "executor",
        "facility", "metadata_dir", "metrics", "n_workers", "output_dir", "read_from_cache",
        "run_metadata_generation", "run_plots_only", "run_processor", "skimmed_dir",
    )
)  # fmt: skip
LOST = ("planned", "processed", "lost")


@dataclass(frozen=True)
class RunDiff:
    """Everything that is different between two runs.

    Parameters
    ----------
    before, after
        The runs.
    sections
        Heading to the values that differ; empty ones too.
    templates
        The histograms that differ.
    """

    before: FinishedRun
    after: FinishedRun
    sections: dict[str, list[Change]]
    templates: list[TemplateChange]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs but settings without effect on results."""
        counted = [changes for name, changes in self.sections.items() if name != "how it was run"]
        return not self.templates and not any(counted)

    def to_dict(self) -> dict[str, Any]:
        """Return everything in terms of JSON."""
        return {
            "runs": [str(self.before.directory), str(self.after.directory)],
            "is_same": self.is_same,
            **{
                name.replace(" ", "_"): [asdict(one) for one in changes]
                for name, changes in self.sections.items()
            },
            "templates": [
                asdict(one) | {"relative": one.relative, "significance": one.significance}
                for one in self.templates
            ],
        }

    def __str__(self) -> str:
        """Return the tables, or that there is nothing to tell."""
        found = self.sections.items()
        tables = [str(change_table(name, changes)) for name, changes in found if changes]
        if self.templates:
            tables.append(str(template_table(self.templates)))
        verdict = "The runs are the same." if self.is_same else "The runs differ."
        return "\n\n".join([*tables, verdict])


def compare(before: FinishedRun, after: FinishedRun, *, rtol: float = 0.0) -> RunDiff:
    """Find out what is different.

    Data that one of the runs hides are not compared.

    Parameters
    ----------
    before, after
        The runs.
    rtol
        Relative difference of numbers that is let pass; 0: all bits count.
    """
    runs = (before, after)
    plain = [dict(leaves(run.settings)) for run in runs]
    harmless = [_only(table, HARMLESS) for table in plain]
    settings = [{k: v for k, v in table.items() if k not in no}
                for table, no in zip(plain, harmless, strict=True)]  # fmt: skip
    sections = {
        "settings": _changes(*settings),
        "functions and files": _changes(*(run.summary.get("code", {}) for run in runs)),
        "versions": _changes(*(run.summary["versions"] for run in runs)),
        "events": _changes(*(_events(run.summary) for run in runs), rtol=rtol),
        "yields": _changes(*(_yields(run.summary) for run in runs), rtol=rtol),
        "cutflow": _changes(*(_cutflow(run.summary) for run in runs), rtol=rtol),
        "fit and limits": _changes(*(_inferred(run.summary) for run in runs), rtol=rtol),
        "how it was run": _changes(*harmless),
    }
    return RunDiff(before, after, sections, _templates(before, after, rtol))


def _only(table: Mapping[str, Any], places: tuple[str, ...]) -> dict[str, Any]:
    return {
        key: value
        for key, value in table.items()
        if any(key == place or key.startswith(f"{place}.") for place in places)
    }


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, rtol: float = 0.0
) -> list[Change]:
    return [
        Change(key, before.get(key, ABSENT), after.get(key, ABSENT))
        for key in dict.fromkeys((*before, *after))
        if not _same(before.get(key, ABSENT), after.get(key, ABSENT), rtol)
    ]


def _same(left: Any, right: Any, rtol: float) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return all(_same(a, b, rtol) for a, b in zip(left, right, strict=True))
    if rtol and isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= rtol * max(abs(left), abs(right))
    return bool(left == right)


def _events(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was planned, processed and lost of each dataset."""
    return {
        f"{dataset}: {part} {unit}": book[part][unit]
        for dataset, book in summary["datasets"].items()
        for part in LOST
        for unit in ("files", "events", "sumw")
    }


def _yields(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{channel}: {process}": (one["value"], one["error"])
        for channel, processes in summary["yields"].items()
        for process, one in processes.items()
    }


def _cutflow(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{channel}: {process}: {step['name']}": (step["yields"], step["n_events"])
        for channel, processes in summary["cutflow"].items()
        for process, steps in processes.items()
        for step in steps
    }


def _inferred(summary: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: summary.get(name, {}) for name in ("fit", "limits", "significance")}
    return {key.replace(".", ": ", 2): value for key, value in leaves(parts)}


def _templates(before: FinishedRun, after: FinishedRun, rtol: float) -> list[TemplateChange]:
    def hidden(channel: str, observable: str, edges: Any) -> BoolArray:
        return np.logical_or(
            *(hidden_bins(edges, run.blind(channel, observable)) for run in (before, after))
        )

    return list(template_changes(before.book, after.book, hidden, rtol=rtol))

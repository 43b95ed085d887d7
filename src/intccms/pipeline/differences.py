"""A finished run, as it lies on disk. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from intccms.errors import InputError
from intccms.histograms import Book, storage
from intccms.histograms.storage import BoolArray, TemplateChange, template_changes
from intccms.metrics.tables import Table, with_error
from intccms.pipeline.summary import read_summary
from intccms.plots.comparison import side_by_side
from intccms.plots.data_mc import Blind, contents, hidden_bins
from intccms.plots.style import Drawn, Look, Planned, draw_and_save
from intccms.schema import Plotting
from intccms.schema.resolved import leaves


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


ABSENT = "(absent)"  # in the place of what a run does not have

HEADINGS = ["", "changed", "largest in", "bin", "first", "second", "change", "std. dev."]


@dataclass(frozen=True)
class Change:
    """One value that is not the same; `ABSENT` where a run does not have it."""

    what: str
    before: Any
    after: Any


def change_table(name: str, changes: Sequence[Change]) -> Table:
    """Tabulate what differs; of a cutflow the first cut of each process: the others follow it.

    Parameters
    ----------
    name
        Heading.
    changes
        One row each.
    """
    if name == "cutflow":
        changes = [*{tuple(one.what.split(": ")[:2]): one for one in reversed(changes)}.values()]
        changes.reverse()
    rows = [["", "first", "second", "change"]]
    rows += [[one.what, _text(one.before), _text(one.after), _change(one)] for one in changes]
    return Table(name.capitalize(), rows, is_text=name in ("settings", "how it was run"))


def _text(value: Any) -> str:
    if isinstance(value, tuple) and isinstance(value[1], int):
        return f"{value[0]:,.1f} ({value[1]:,})"
    if isinstance(value, tuple):
        return with_error(*value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)


def _change(one: Change) -> str:
    """Write by how much a number has changed."""
    before, after = (v[0] if isinstance(v, tuple) else v for v in (one.before, one.after))
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in (before, after)):
        return ""
    return f"{(after - before) / before:+.3%}" if before else f"{after - before:+,.4g}"


def template_table(changes: Sequence[TemplateChange]) -> Table:
    """List, for each process of an observable, the template with the largest change.

    Parameters
    ----------
    changes
        All templates that differ.
    """
    groups: dict[tuple[str, str, str], list[TemplateChange]] = {}
    for one in changes:
        groups.setdefault((one.channel, one.observable, one.process), []).append(one)
    return Table("Templates", [HEADINGS, *(row for one in groups.values() for row in _rows(one))])


def _rows(group: list[TemplateChange]) -> Iterator[list[str]]:
    where = f"{group[0].channel}/{group[0].observable}/{group[0].process}"
    for reason in dict.fromkeys(one.reason for one in group if one.reason):
        names = [one.variation for one in group if one.reason == reason]
        yield [where, str(len(names)), names[0], reason, *[""] * 4]
    compared = [one for one in group if not one.reason]
    if compared:
        worst = max(compared, key=lambda one: (abs(one.significance or 0), one.n_bins))
        yield [
            where, str(len(compared)), worst.variation, f"{worst.low:g} to {worst.high:g}",
            f"{worst.before:,.5g}", f"{worst.after:,.5g}",
            "-" if worst.relative is None else f"{worst.relative:+.3%}",
            "-" if worst.significance is None else f"{worst.significance:+.3g}",
        ]  # fmt: skip


# Settings that say where, how and how much is run: by promise they do not change a result.
HARMLESS = tuple(
    f"general.{name}"
    for name in (
        "base_dir", "batch_memory_mb", "cache_dir", "cache_mb", "check_functors", "chunk_size",
        "executor", "facility", "metadata_dir", "metrics", "n_workers", "output_dir",
        "read_from_cache", "run_metadata_generation", "run_plots_only", "run_processor",
        "skimmed_dir",
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


def side_by_sides(found: RunDiff, folder: Path) -> Iterator[Drawn]:
    """Try to draw every observable that both runs have in the same bins; say what became of it."""
    todo = list(_planned(found, folder))
    return (draw_and_save(index, todo) for index in range(len(todo)))


def _planned(found: RunDiff, folder: Path) -> Iterator[Planned]:
    runs = (found.before, found.after)
    for channel, observable in runs[0].book.histograms:
        if (channel, observable) not in runs[1].book.histograms:
            continue
        first, second = (
            contents(run.book, channel, observable, run.look, run.blind(channel, observable))
            for run in runs
        )
        if np.array_equal(first.edges, second.edges):
            names = [f"{channel}, {run.directory.name}" for run in runs]
            looks = [run.look for run in runs]
            draw = partial(side_by_side, first, second, names, looks)
            yield folder / channel / observable, draw

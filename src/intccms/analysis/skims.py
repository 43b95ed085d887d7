"""Writing skims: what the chunks of a run keep, written on the workers by `SkimStore`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from intccms.analysis.skim_tables import PER_DATASET, PER_FILE, SkimTable, exact_as_json
from intccms.datasets import DatasetFiles
from intccms.datasets.sections import LumiSections
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.fingerprint.digest import by_content, fingerprint, is_reproducible
from intccms.schema import Config, General, WorkerEval
from intccms.skimming import SkimColumns, SkimManifest, SkimPart, SkimStore, retire

__all__ = [
    "NOT_COMPARABLE",
    "SkimWriter",
    "at_storage",
    "by_entries",
    "only_skims",
    "selection_fingerprint",
    "writes_skims",
]

log = logging.getLogger(__name__)

NOT_COMPARABLE = "not comparable"

Entries = tuple[str, int, int]  # uuid, first entry, the one after the last


def only_skims(general: General) -> bool:
    """Whether a run stops after the skim selection."""
    return general.analysis == "skip" or not general.run_analysis


def writes_skims(general: General) -> bool:
    """Whether a run writes skims; one that makes nothing else does."""
    return general.run_skimming or (only_skims(general) and not general.use_skimmed_input)


def selection_fingerprint(config: Config) -> str:
    """Identify the skim selection; the same text for all that have no form to be compared.

    Files in its arguments count by content, wherever they are.
    """
    selection = config.preprocess.skimming.selection
    if selection is not None:
        kwargs = by_content(selection.static_kwargs)
        selection = selection.model_copy(update={"static_kwargs": kwargs})
    found = fingerprint(selection, versions=False)  # a skim is read for longer than they last
    if found.unstable and not is_reproducible(selection):
        log.warning("the skim selection cannot be compared: %s", ", ".join(found.unstable))
        return NOT_COMPARABLE
    return found.digest


def at_storage(store: SkimStore, workers: Callable[[], Executor]) -> Executor:
    """Give where the storage of skims can be reached: on workers, if only they know its secrets."""
    kwargs = (store.output.to_kwargs, store.output.from_kwargs)
    return workers() if any(map(_has_secret, kwargs)) else IterativeExecutor()


def _has_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_has_secret, value))
    return isinstance(value, WorkerEval)


@dataclass
class SkimWriter:
    """Writes what the chunks keep; it travels to the workers with the processor.

    Parameters
    ----------
    store
        Where to.
    columns
        What is kept, by dataset.
    fingerprint
        Of the skim selection.
    target_part_size
        Kept events for which chunks of a file are put together; None: they are not.
    weights
        What an event counts, in words, by dataset.
    """

    store: SkimStore
    columns: dict[str, SkimColumns]
    fingerprint: str
    target_part_size: int | None = None
    weights: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, fileset: Iterable[DatasetFiles]) -> SkimWriter:
        """Make it as configured.

        Raises
        ------
        ConfigError
            If the writer does not know one of its options.
        """
        skimming = config.preprocess.skimming
        store = SkimStore.of(skimming, config.general.path("skimmed_dir"))
        store.check()
        columns = {
            files.dataset: SkimColumns.of(config.preprocess, files.weight_branch)
            for files in fileset
        }
        weights = {files.dataset: files.weight for files in fileset}
        target = skimming.target_part_size
        return cls(store, columns, selection_fingerprint(config), target, weights)

    def begin(self) -> None:
        """Take back what manifests say of other skims at the same place: it is overwritten now.

        Raises
        ------
        SkimWriteError
            If that cannot be written.
        """
        for dataset in self.columns:
            retire(self.store, dataset, self.fingerprint)

    def check(self, events: Any, *, is_data: bool) -> None:
        """Look whether all branches to keep are there; nothing is written.

        Raises
        ------
        MissingColumnError
            If one is not.
        """
        about = events.metadata
        columns = self.columns[about["dataset"]]
        columns.take(_first(events, 0), is_data=is_data, source=about["filename"])

    def write(self, kept: Any, sums: dict[str, Any], *, is_data: bool) -> SkimTable:
        """Write the kept events of a chunk.

        Parameters
        ----------
        kept
            The events, with the metadata of the chunk.
        sums
            Of all its events.
        is_data
            Whether they are collision data.

        Raises
        ------
        MissingColumnError, SkimWriteError
            As `SkimStore.write` does.
        """
        about, source = kept.metadata, kept.metadata["source"]
        sections: LumiSections | None = sums.get("sections", {}).get(about["fileuuid"])
        part = SkimPart(
            dataset=about["dataset"],
            source=about["filename"],
            uuid=about["fileuuid"],
            entry_start=about["entries"][0],
            entry_stop=about["entries"][1],
            n_in=sums["n_events"],
            sumw=exact_as_json(sums["sumw"]),
            weights=sums["weights"].to_text(),
            fingerprint=self.fingerprint,
            weight=self.weights.get(about["dataset"], ""),
            spectrum=sums["spectrum"].to_json() if "spectrum" in sums else None,
            piece=about["piece"],
            is_data=is_data,
            sections=None if sections is None else sections.to_text(),
            **source,
        )
        return SkimTable.of(self.store.write(kept, self.columns[about["dataset"]], part))

    def is_whole(self, sums: dict[str, Any]) -> bool:
        """Say whether all parts that the sums of a chunk tell of are still there."""
        return all(self._holds(json.loads(line)) for line in sums["skim_parts"].lines)

    def _holds(self, plain: dict[str, Any]) -> bool:
        names = dict.fromkeys((*PER_FILE, *PER_DATASET))
        part = SkimPart.from_json(names | plain | {"columns": (), "fingerprint": self.fingerprint})
        if self.store.holds(part):
            return True
        if self.target_part_size is None:
            return False
        dataset = part.path.partition("/")[0]
        if dataset not in self._moved:
            self._moved[dataset] = by_entries(self.store.load(dataset, self.fingerprint))
        moved = self._moved[dataset].get((part.uuid, part.entry_start, part.entry_stop))
        return moved is not None and self.store.holds(moved)

    @cached_property
    def _moved(self) -> dict[str, dict[Entries, SkimPart]]:
        return {}


def by_entries(manifest: SkimManifest | None) -> dict[Entries, SkimPart]:
    """Find records by uuid and entries of the original, wherever their rows are now."""
    parts = () if manifest is None else manifest.parts
    return {(part.uuid, part.entry_start, part.entry_stop): part for part in parts}


def _first(events: Any, n: int) -> Any:
    index = np.arange(n)
    return events.narrowed(index) if hasattr(events, "narrowed") else events[index]

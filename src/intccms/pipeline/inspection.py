"""Inspecting the inputs of a configuration: files → statistics → what will be read → one page.

Reads the input files, asks Rucio if wanted, writes below ``general.metadata_dir``.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from intccms.datasets import DatasetManager
from intccms.datasets.metadata import Metadata, without_twins
from intccms.engine.columns import columns_by_dataset
from intccms.engine.duplicates import Duplicates, count_duplicates
from intccms.errors import ServiceError
from intccms.execution.executors import open_executor
from intccms.execution.memory import worker_memory
from intccms.execution.tasks import Observer
from intccms.metrics.inspector import (
    FileRecord,
    Forecast,
    Statistics,
    aggregate_statistics,
    forecast,
    inspect_files,
)
from intccms.metrics.inspector.files import RecordStore, write_records
from intccms.metrics.inspector.page import (
    branch_table,
    dataset_table,
    duplicates_table,
    forecast_table,
    inspector_layout,
    inspector_page,
    problem_table,
    site_table,
)
from intccms.metrics.inspector.plots import plot_summary
from intccms.metrics.inspector.rucio import SizeSummary, fetch_file_sizes
from intccms.metrics.inspector.statistics import WORKER_BYTES
from intccms.metrics.progress import make_observer
from intccms.metrics.tables import Table, size_text
from intccms.plots.treemap import treemap
from intccms.schema import Config
from intccms.storage import Output, write_json, write_text

log = logging.getLogger(__name__)

RUCIO_CACHE = "rucio.json"


class Inspection:
    """The inputs of one configuration, step by step: `files`, `rucio`, `forecast`, and shown.

    Parameters
    ----------
    config
        Says which files, and what is read of them.
    client
        A `distributed.Client` to run on; it stays open.
    observer
        Is told of each file.
    """

    def __init__(
        self, config: Config, client: Any = None, *, observer: Observer | None = None
    ) -> None:
        self.config = config
        self.fileset = DatasetManager(config).fileset()
        self.records: list[FileRecord] = []
        self.sizes: SizeSummary | None = None
        self.forecasted: Forecast | None = None
        self.notes: list[str] = []
        self.repeated: tuple[Duplicates, ...] = ()
        self._client = client
        self._observer = observer or make_observer()
        self._n_cores, self._worker_bytes = 1, WORKER_BYTES
        self._output = Output(config.general)
        self._statistics: Statistics | None = None

    @property
    def statistics(self) -> Statistics:
        """Sums over the files, with what Rucio says of them."""
        if self._statistics is None:
            n_listed = {files.dataset: len(files.lfns) for files in self.fileset}
            self._statistics = aggregate_statistics(
                self.records,
                self.sizes,
                n_listed=n_listed,
                outlier_factor=self.config.general.weight_outlier_factor,
            )
        return self._statistics

    def files(
        self,
        *,
        max_files_per_process: int | None = None,
        seed: int = 0,
        verify: bool = False,
        refresh: bool = False,
    ) -> Table:
        """Look at the input files; what was found is kept even if this is interrupted.

        Parameters
        ----------
        max_files_per_process, seed, verify
            As for `inspect_files`.
        refresh
            Open files again that are known from before.
        """
        store = RecordStore(self._output.metadata_dir)
        fresh = refresh or verify or not self.config.general.read_from_cache
        self.records, self._statistics = [], None
        n_files = self.fileset.n_files
        self._observer.begin(
            "inspecting files", total=n_files if max_files_per_process is None else None,
            unit="files",
        )  # fmt: skip
        with open_executor(self.config.general, self._client) as executor:
            self._n_cores, self._worker_bytes = executor.n_workers, worker_memory(executor)
            try:
                for record in inspect_files(
                    self.fileset,
                    executor=executor,
                    max_files_per_process=max_files_per_process,
                    seed=seed,
                    verify=verify,
                    store=None if fresh else store,
                ):
                    self.records.append(record)
                    self._observer.advance()
            finally:
                self._observer.end()
                store.add(self.records)
                store.save()
        return dataset_table(self.statistics)

    def duplicates(self) -> Table:
        """Count the events that are in the files of `files` more than once."""
        found = [record.count() for record in self.records]
        counts = {(one.dataset, one.lfn): one for one in found if one is not None}
        ordered = [counts[f.dataset, lfn] for f in self.fileset for lfn in f.lfns
                   if (f.dataset, lfn) in counts]  # fmt: skip
        files, twins = without_twins(self.fileset, ordered)
        metadata = Metadata(self.fileset, files, (), (), twins=twins)
        with open_executor(self.config.general, self._client) as executor:
            self.repeated = count_duplicates(metadata, executor)
        return duplicates_table(self.repeated)

    def rucio(self, scope: str | None = "cms", *, refresh: bool = False) -> Table:
        """Ask Rucio for sizes and replicas; if it does not answer, say so and go on.

        Parameters
        ----------
        scope
            Rucio's scope of the files; None: do not ask.
        refresh
            Ask again for what is known from before.
        """
        why = "it was not asked"
        if scope is not None:
            cache = self._output.metadata_dir / RUCIO_CACHE
            try:
                self.sizes = fetch_file_sizes(
                    self.fileset, scope=scope, cache=cache, refresh=refresh
                )
                self._statistics = None
            except (ServiceError, ModuleNotFoundError) as error:
                why = " ".join(str(error).split())
        if self.sizes is not None and not self.sizes.files:
            name, reason = next(iter(self.sizes.errors.items()), ("", "no file"))
            why = f"none of the files could be asked for or found; the first, {name}: {reason}"
            self.sizes = None
        if self.sizes is None:
            note = f"local statistics only, nothing from Rucio: {why}"
            self.notes += [note] if scope is not None else []
            return Table("Replicas", [["site"], [note]], is_text=True)
        return site_table(self.sizes)

    def forecast(self, *, rate_hz_per_core: float | None = None) -> Table:
        """Say what the analysis will read, and how long that takes on the cores of `files`.

        Parameters
        ----------
        rate_hz_per_core
            Events per second and core; None: as the last run in this output directory measured.
        """
        rate = rate_hz_per_core or self._measured_rate()
        good = {one.dataset: one.pfn for one in reversed(self.records) if one.error is None}
        datasets = self.statistics.datasets
        columns, notes = columns_by_dataset(
            self.config,
            self.fileset,
            pfns=good,
            branches={name: tuple(one.branches) for name, one in datasets.items()},
        )
        self.notes += notes
        self.forecasted = forecast(
            self.statistics,
            columns,
            n_cores=self._n_cores,
            rate_hz_per_core=rate,
            memory_bytes=self._worker_bytes,
            batch_bytes=self.config.general.batch_memory_mb * 1e6,
        )
        return forecast_table(self.forecasted)

    def _measured_rate(self) -> float | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            summary = json.loads(self._output.run_summary_json.read_text(encoding="utf-8"))
            return float(summary["throughput"]["events_per_s_per_core"]) or None
        return None

    def problems(self) -> Table:
        """List what is odd about the files."""
        return problem_table(self.statistics)

    def tables(self) -> list[Table]:
        """Give all that is known as tables."""
        found = [dataset_table(self.statistics)]
        if self.statistics.problems:
            found.append(self.problems())
        if self.repeated:
            found.append(duplicates_table(self.repeated))
        if self.forecasted is not None:
            found.append(forecast_table(self.forecasted))
        if self.sizes is not None:
            found.append(site_table(self.sizes))
        found.append(branch_table(self.statistics, self.forecasted))
        return found

    def show(self, kind: str = "bokeh") -> Any:
        """Give all figures: ``bokeh``, which answers to the mouse, or ``matplotlib``."""
        if kind == "bokeh":
            return inspector_layout(self.statistics, self.sizes)
        tiles = treemap(self.statistics.branches(), aspect=1.6)
        return plot_summary(self.statistics, tiles, size_summary=self.sizes)

    def save(
        self,
        *,
        json_file: str | Path | None = None,
        html_file: str | Path | None = None,
        parquet_file: str | Path | None = None,
    ) -> Table:
        """Write what was found; without names, numbers and page go beside the other metadata.

        Parameters
        ----------
        json_file, html_file, parquet_file
            All numbers; one page with all figures; a row per file. None: not wanted.
        """
        if (json_file, html_file, parquet_file) == (None, None, None):
            json_file = self._output.metadata_dir / "inspection.json"
            html_file = self._output.metadata_dir / "inspection.html"
        if json_file is not None:
            write_json(json_file, self.summary())
        if html_file is not None:
            text = inspector_page(
                self.statistics,
                title=f"Input files of {', '.join(self.fileset.processes)}",
                forecast=self.forecasted,
                size_summary=self.sizes,
                notes=self.notes,
            )
            write_text(html_file, text)
        if parquet_file is not None:
            write_records(parquet_file, self.records)
        written = [str(path) for path in (json_file, html_file, parquet_file) if path is not None]
        return Table("Written", [["file"], *([path] for path in written)], is_text=True)

    def summary(self) -> dict[str, Any]:
        """Give everything, ready for JSON."""
        return self.statistics.summary() | {
            "files": [record.summary() for record in self.records],
            "forecast": None if self.forecasted is None else self.forecasted.summary(),
            "rucio": None if self.sizes is None else self.sizes.summary(),
            "duplicates": [one.to_dict() for one in self.repeated],
            "notes": self.notes,
        }

    def __repr__(self) -> str:
        """Say how much was found."""
        found = self.statistics
        return (
            f"{found.n_files:,} files, {found.n_failed:,} failed, {found.n_events:,} events, "
            f"{size_text(found.size_bytes)}, {len(found.problems):,} problems"
        )

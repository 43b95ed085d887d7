"""What the analysis leaves on disk: histograms, processed sections, measurement, profile."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intccms.analysis.runner import AnalysisResult
from intccms.datasets.metadata import Metadata
from intccms.errors import InputError
from intccms.execution.accounting import write_golden_json
from intccms.execution.executors import Executor
from intccms.execution.failures import describe
from intccms.execution.tasks import Observer
from intccms.histograms import storage
from intccms.metrics.measurement import (
    Coverage,
    Measurement,
    TreePlace,
    TreeSizes,
    coverage_of,
    tree_sizes,
)
from intccms.metrics.recorder import Recorder
from intccms.metrics.report import report_html, state_of
from intccms.metrics.still import picture
from intccms.metrics.tables import ledger_table
from intccms.pipeline.made_with import made_with
from intccms.schema import Config
from intccms.skimming.writing import only_skims
from intccms.storage import Output, write_bytes, write_text

log = logging.getLogger(__name__)


_sizes: dict[tuple[str, str], TreeSizes] = {}  # by digest of the file and tree, of this process


class RunRecord:
    """What a run leaves on disk besides its summary: histograms, sections, its measurement.

    Parameters
    ----------
    config, output
        What is wanted, and where it goes.
    executor
        Its workers are watched.
    observer
        Is told of everything, by way of `recorder`.
    """

    def __init__(
        self, config: Config, output: Output, executor: Executor, observer: Observer
    ) -> None:
        self.config, self.output, self.executor = config, output, executor
        self.wanted = wanted = config.general.metrics
        self.analysis: AnalysisResult | None = None
        self.made_with: dict[str, Any] = {}
        self.measurement: Measurement | None = None
        self.coverage: dict[str, Coverage] = {}
        self.name = wanted.measurement_name or f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
        if not wanted.enable:
            self.recorder = Recorder(observer, interval_s=None)
            return
        self.recorder = Recorder(
            observer,
            getattr(executor, "client", None),
            interval_s=wanted.worker_tracking_interval if wanted.track_workers else None,
            reports=output.receipts_jsonl(self.name) if wanted.save_measurements else None,
            target_gbps=wanted.target_throughput_gbps,
        )

    def see_trees(self, analysis: AnalysisResult, metadata: Metadata) -> None:
        """Let the workers look how large the trees are of which the run has read a part."""
        if not self.wanted.enable or metadata.skimmed_rows is not None:
            return
        done = {one.dataset: one for one in analysis.reports if one.status.is_processed}
        trees = {item.dataset: item.treename for item in metadata.work_items}
        digests = {(one.dataset, one.lfn): one.digest for one in metadata.files}
        files = {
            name: (digests.get((name, report.file)) or f"{name}/{report.file}", trees[name])
            for name, report in done.items()
            if analysis.columns.get(name)
        }
        places = [
            TreePlace(name, metadata.fileset[name].pfns(done[name].file), trees[name])
            for name, file in files.items()
            if file not in _sizes
        ]
        for place, answer in self.executor.map(tree_sizes, places):
            if isinstance(answer, TreeSizes):
                _sizes[files[place.dataset]] = answer
        events: Counter[str] = Counter()
        for one in analysis.reports:
            events[one.dataset] += one.n_events
        known = {name: _sizes[file] for name, file in files.items() if file in _sizes}
        self.coverage = coverage_of(analysis.columns, known, events)

    def take(self, analysis: AnalysisResult) -> None:
        """Take what the run gave; what an earlier run has left in its place goes."""
        self.analysis = analysis
        self.output.processed_lumis_json.unlink(missing_ok=True)
        if not only_skims(self.config.general):
            self.made_with = made_with(
                self.config, analysis
            )  # files may change until it is written
            storage.remove(self.output.histograms_dir)

    def measured(self, summary: Mapping[str, Any]) -> Measurement | None:
        """Return what was measured; None if nothing was to be.

        Parameters
        ----------
        summary
            What ``run_summary.json`` holds.
        """
        if not self.wanted.enable or self.analysis is None:
            return None
        general, analysis = self.config.general, self.analysis
        self.measurement = Measurement(
            self.name, self.recorder.started, analysis.wall_s, analysis.reports,
            self.recorder.timeline, len(analysis.reports),
            coverage=self.coverage,
            target_gbps=self.wanted.target_throughput_gbps,
            notes={
                "executor": getattr(self.executor, "name", general.executor),
                "facility": general.facility or "this machine",
                "configuration": summary["config_sha256"][:12],
                "versions": summary["versions"],
            },
        )  # fmt: skip
        return self.measurement

    def write(self, summary: Mapping[str, Any]) -> None:
        """Write all of it: histograms, sections of data, the measurement with its report."""
        analysis, output = self.analysis, self.output
        assert analysis is not None
        if not only_skims(self.config.general):
            book = replace(analysis.histograms, folded=self.config.folded)
            storage.save_years(analysis.years, output.histograms_dir)
            storage.save(book, output.histograms_dir, self.made_with)
        if analysis.lumis is not None:
            write_golden_json(output.processed_lumis_json, analysis.lumis.processed)
        if self.measurement is not None and self.wanted.save_measurements:
            self._save(self.measurement, summary)

    def _save(self, measurement: Measurement, summary: Mapping[str, Any]) -> None:
        measurement.save(self.output.measurement_dir(self.name))
        if self.wanted.generate_plots:
            state = state_of(measurement)
            path = self.output.overview_png(self.name)
            try:
                png = picture(state, state.ended or 0.0)
            except Exception as error:  # noqa: BLE001 - a figure of the run is not its result
                log.error("the figure %s cannot be drawn: %s", path, describe(error))
            else:
                write_bytes(path, png)
        if self.wanted.generate_reports:
            content = report_html(
                measurement, ledger=ledger_table(summary), with_plots=self.wanted.generate_plots
            )
            write_text(self.output.report_html(self.name), content)


# A profile sees one process only, and a chunk that is resumed does no work.
ONE_PROCESS = (
    "general.executor=iterative",
    "general.facility=null",
    "general.read_from_cache=False",
)

INTERVAL_S = 0.002

# A sample belongs to the first stage that has a part of a file's path and a function of it on the
# stack; "" is any function.
STAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("decompress", "uproot/compression.py", ("",)),
    ("open", "intccms/reading/", ("open_source",)),
    ("read", "intccms/reading/", ("",)),
    ("checkpoints", "intccms/execution/checkpoints.py", ("",)),
    ("fill", "intccms/histograms/", ("filled", "of", "_filled")),
    ("observable", "intccms/engine/", ("observable_values", "with_derived")),
    ("batch", "intccms/engine/systematics.py", ("",)),
    ("weights", "intccms/engine/variations.py", ("",)),
    ("mask", "intccms/engine/", ("apply_masks", "masked", "select", "skim", "channel_rows")),
    ("other work on chunks", "intccms/execution/chunk.py", ("",)),
    ("count and check files", "intccms/pipeline/stages.py", ("count_files",)),
    ("report of the run", "intccms/pipeline/records.py", ("",)),
    ("merge and ledger", "intccms/pipeline/stages.py", ("process",)),
    ("statistics", "intccms/pipeline/stages.py", ("infer",)),
    ("figures", "intccms/pipeline/stages.py", ("draw",)),
)
REST = "rest"


def stage_of(stack: Sequence[str]) -> str:
    """Name the stage of a sample.

    Parameters
    ----------
    stack
        Identifiers of pyinstrument's frames: function, file and line, with NUL between them.
    """
    frames = [frame.replace("\\", "/").split("\0")[:2] for frame in stack]
    for stage, path, functions in STAGES:
        for name, *file in frames:
            if file and path in file[0] and ("" in functions or name in functions):
                return stage
    return REST


def shares(records: Sequence[tuple[Sequence[str], float]]) -> dict[str, float]:
    """Add up the seconds of samples by stage, in the order of `STAGES`."""
    found = dict.fromkeys([*(stage for stage, *_ in STAGES), REST], 0.0)
    for stack, seconds in records:
        found[stage_of(stack)] += seconds
    return found


@contextmanager
def profiled(directory: Path) -> Iterator[None]:
    """Profile what this process does, and write ``profile.html`` and ``profile.txt``.

    Parameters
    ----------
    directory
        Of the measurement; made when there is something to write.

    Raises
    ------
    InputError
        If pyinstrument is not installed.
    """
    profiler = _profiler()
    profiler.start()
    try:
        yield
    finally:
        session = profiler.stop()
        text = _table(shares(session.frame_records))
        write_text(directory / "profile.txt", text + "\n" + profiler.output_text(unicode=True))
        write_text(directory / "profile.html", profiler.output_html())


def _profiler() -> Any:
    try:
        from pyinstrument import Profiler
    except ModuleNotFoundError as exc:
        raise InputError("--profile needs pyinstrument: pip install 'intccms[profile]'") from exc
    return Profiler(interval=INTERVAL_S, async_mode="disabled")


def _table(seconds: dict[str, float]) -> str:
    total = sum(seconds.values()) or 1.0
    lines = [
        f"{stage:24}{spent:10.2f} s{100 * spent / total:7.1f} %"
        for stage, spent in seconds.items()
        if spent
    ]
    about = "Samples of the wall-clock time of one process; all chunks ran in it."
    return "\n".join([about, "", *lines, f"{'sum':24}{total:10.2f} s", ""])

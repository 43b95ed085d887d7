"""What the chunks gave → histograms, cutflow and ledger of a run; normalised here, once."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import cast

import numpy as np

from intccms.datasets import DatasetFiles
from intccms.datasets.metadata import Metadata
from intccms.engine.chunk import ChunkSums
from intccms.engine.duplicates import Duplicates
from intccms.engine.inputs import golden_jsons
from intccms.engine.processor import AnalysisProcessor, TrainingTable
from intccms.engine.variations import ALL, NOMINAL, VariationPlan, WeightSource, branch_of
from intccms.errors import IntccmsError
from intccms.execution.accounting import (
    Ledger,
    LostChunk,
    LumiBooks,
    RepeatedFile,
    balanced,
    file_sections,
)
from intccms.execution.chunk import ChunkOutcome
from intccms.execution.rounds import FileSums, Place
from intccms.execution.tasks import ChunkReport, ChunkStatus
from intccms.fingerprint.watching import Inputs
from intccms.histograms.book import Book, Theory, make_book
from intccms.histograms.exact import ExactSums, WeightSpectrum
from intccms.histograms.sums import Cutflow, CutflowSums, WeightSums, make_cutflow
from intccms.skimming.writing import WrittenSkim

log = logging.getLogger(__name__)

RUNS_TOLERANCE = 1e-4  # relative difference of Runs and Events sums in an unfiltered file


@dataclass(frozen=True)
class AnalysisResult:
    """What an analysis gives.

    Parameters
    ----------
    histograms
        Normalised histograms of all channels.
    cutflow
        By channel and process.
    ledger
        What was planned, processed and lost.
    reports
        One for each planned chunk.
    wall_s
        Seconds from the first chunk to the last.
    lumis
        Luminosity sections of the data; None if there is none.
    skims
        By dataset, what was written of it.
    columns
        By dataset, the compressed bytes read of each branch.
    chunking
        Why chunks have the size they have, where ``general.chunk_size`` is ``auto``.
    samples
        By dataset and classifier, events to train on; see `SampleProcessor`.
    years
        The histograms of each year, where there are several.
    scale
        By dataset, luminosity · cross section / sum of weights.
    flows
        By dataset and channel, the cutflow before it is normalised.
    duplicates
        Repeated events, where ``general.check_duplicates`` asks for them.
    collected
        What the chunks gave, from which another result can be made with other labels or norms.
    """

    histograms: Book
    cutflow: Cutflow
    ledger: Ledger
    reports: tuple[ChunkReport, ...]
    wall_s: float
    lumis: LumiBooks | None = None
    skims: dict[str, WrittenSkim] = field(default_factory=dict)
    columns: dict[str, dict[str, int]] = field(default_factory=dict)
    chunking: str = ""
    years: dict[str, Book] = field(default_factory=dict)
    samples: dict[str, dict[str, TrainingTable]] = field(default_factory=dict)
    scale: dict[str, float] = field(default_factory=dict)
    flows: dict[str, dict[str, CutflowSums]] = field(default_factory=dict)
    duplicates: tuple[Duplicates, ...] = ()
    collected: Collected | None = field(default=None, repr=False, compare=False)

    @property
    def receipts(self) -> tuple[ChunkReport, ...]:
        """The `reports`, by the name that scripts know them by."""
        return self.reports


class DatasetSums(ChunkSums, total=False):
    """The sums of all chunks of a dataset: with those of each file, and bytes by branch."""

    files: dict[str, FileSums]
    columns: dict[str, int]


@dataclass
class Collected:
    """What has come back so far.

    Parameters
    ----------
    reports
        By dataset, file and first entry of the chunk.
    faults
        Failures of functions of the user, by their text.
    sums
        By dataset, when all are in.
    inputs
        What functions have looked at.
    changed
        Files that were not the same for all chunks.
    keys
        Of all chunks, by their place; None where a result cannot be kept.
    """

    reports: dict[Place, ChunkReport] = field(default_factory=dict)
    faults: dict[str, list[ChunkOutcome]] = field(default_factory=dict)
    sums: dict[str, DatasetSums] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)
    changed: set[str] = field(default_factory=set)
    keys: dict[Place, str | None] = field(default_factory=dict)

    def again(self, keys: Mapping[Place, str | None]) -> Collected | None:
        """Return what was collected, as resumed, if chunks with these keys give the same."""
        holds = (
            keys == self.keys
            and None not in keys.values()
            and all(one.status.is_processed for one in self.reports.values())
            and not self.inputs.beyond
            and self.inputs.is_current
        )
        if not holds:
            return None
        resumed = {
            place: replace(one, status=ChunkStatus.RESUMED) for place, one in self.reports.items()
        }
        return replace(self, reports=resumed)

    def take(self, outcome: ChunkOutcome) -> bool:
        """Keep the report; say whether it is the first of its chunk."""
        report = outcome.report
        key = (report.dataset, report.file, report.entry_start)
        is_first = key not in self.reports
        self.reports[key] = report
        seen, new = self.inputs.files, outcome.inputs.files
        self.changed |= {path for path, then in new.items() if seen.get(path, then) != then}
        self.inputs = self.inputs | outcome.inputs
        if outcome.trace:
            self.faults.setdefault(report.error, []).append(outcome)
        return is_first

    def files(self, dataset: str) -> dict[str, FileSums]:
        """Return the sums by file."""
        return self.sums[dataset].get("files", {}) if dataset in self.sums else {}

    @cached_property
    def file_events(self) -> dict[tuple[str, str], int]:
        """Number of processed events by dataset and file."""
        events: dict[tuple[str, str], int] = {}
        for (dataset, file, _), report in self.reports.items():
            if report.status.is_processed:
                events[dataset, file] = events.get((dataset, file), 0) + report.n_events
        return events


def result_of(
    processor: AnalysisProcessor, metadata: Metadata, collected: Collected, wall_s: float
) -> AnalysisResult:
    """Close the books and normalise.

    Parameters
    ----------
    processor, metadata
        What was done, and with which events.
    collected
        What has come back.
    wall_s
        How long it took.

    Raises
    ------
    IntccmsError
        If the sum of weights of a dataset is not positive.
    """
    config = processor.config
    never_opened = [
        LostChunk(failure.dataset, failure.lfn, None, f"{failure.error_type}: {failure.error}")
        for failure in metadata.failures
    ]
    reports = [
        collected.reports[item.dataset, item.filename, item.entrystart]
        for item in metadata.work_items
    ]
    ledger = Ledger.closed(metadata.fileset.keys(), reports, never_opened)
    for count in metadata.files:
        if not count.n_events:
            ledger.add_empty(count.dataset)
    ledger.repeated_files = [
        RepeatedFile(twin.file.dataset, twin.file.lfn, twin.same_dataset, twin.same_as)
        for twin in metadata.twins
    ]
    others = {one.dataset for one in (*metadata.work_items, *metadata.failures)}
    for files in metadata.fileset:
        if files.dataset not in others:  # all its files were looked at, and hold no event
            nothing = cast(DatasetSums, {"histograms": {}, "cutflow": {}})
            collected.sums.setdefault(files.dataset, nothing)
    scale: dict[str, float] = {}
    for files in metadata.fileset:
        if files.dataset in collected.sums:
            scale[files.dataset] = _scale(processor, files, metadata, collected, ledger)
            spectrum = collected.sums[files.dataset].get("spectrum")
            _note_weights(ledger, files.dataset, spectrum, config.general.weight_outlier_factor)
    sums = {key: collected.sums[key] for key in scale}
    process_of = {files.dataset: files.process for files in metadata.fileset}
    observables = {
        (channel.name, observable.name): (observable.binning, observable.label)
        for channel in processor.channels
        for observable in channel.observables
    }
    theory = {key: theory_of(processor, key, sums[key], ledger) for key in sums}
    filled = {key: value["histograms"] for key, value in sums.items()}
    if not processor.has_analysis or not config.general.run_histogramming:
        observables = {}
    data = tuple(dict.fromkeys(files.process for files in metadata.fileset if files.is_data))
    normalisation = (scale, process_of, observables, data, theory)
    overlaps: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for dataset, value in sums.items():
        overlaps[process_of[dataset]].update(value.get("overlaps", {}))
    counted = {process: dict(counts) for process, counts in overlaps.items() if counts}
    book = replace(make_book(filled, *normalisation), overlaps=counted)
    year_of = {files.dataset: files.year for files in metadata.fileset if files.dataset in filled}
    several = dict.fromkeys(year for year in year_of.values() if year is not None)
    years = {
        year: make_book(
            {key: filled[key] for key in year_of if year_of[key] == year}, *normalisation
        )
        for year in (several if len(several) > 1 else ())
    }
    flow = {key: value["cutflow"] for key, value in sums.items()}
    cutflow = make_cutflow(flow, scale, process_of)
    lumis = lumis_of(processor, metadata, collected)
    columns = {key: dict(value.get("columns", {})) for key, value in sums.items()}
    samples = {key: value.get("samples", {}) for key, value in sums.items()}
    return AnalysisResult(
        book, cutflow, ledger, tuple(reports), wall_s, lumis,
        columns=columns, samples=samples, scale=scale, years=years, flows=flow,
    )  # fmt: skip


def _scale(
    processor: AnalysisProcessor,
    files: DatasetFiles,
    metadata: Metadata,
    collected: Collected,
    ledger: Ledger,
) -> float:
    """Return xsec · lumi / sumw of a dataset, 1 for data.

    Where the ``Runs`` tree of a file disagrees with its events, the file was filtered before it
    came here: its ``Runs`` sum counts, for the part of its events that was processed; all of it
    where no event is left. That sum is one of ``genWeight``: it says nothing of other weights.

    Raises
    ------
    IntccmsError
        If the sum of weights is not positive.
    """
    book = ledger.datasets[files.dataset]
    exact = ExactSums.zeros(1)
    from_runs: list[float] = []
    in_files = collected.files(files.dataset)
    for count in metadata.files_of(files.dataset):
        key = (files.dataset, count.lfn)
        known = count.runs_sumw if files.has_sum_in_runs else None
        if not count.n_events:
            from_runs += [known] if known else []
        if count.lfn not in in_files:
            continue
        fraction = collected.file_events[key] / count.n_events
        runs = None if known is None else known * fraction
        sumw = in_files[count.lfn].sumw
        filtered = count.is_filtered
        if collected.file_events[key] == count.n_events and runs is not None:
            largest = max(abs(runs), abs(sumw.value))
            filtered = abs(runs - sumw.value) > RUNS_TOLERANCE * largest
        if filtered and runs is not None:
            from_runs.append(runs)
        else:
            exact = exact + sumw
    if from_runs:
        book.sumw_source = "runs"
    total = fsum([exact.value, *from_runs])
    book.processed.sumw = total
    if not book.lost.files:
        book.planned.sumw = total
    if files.is_data or not processor.has_analysis or not book.processed.events:
        return 1.0
    if total <= 0:
        raise IntccmsError(
            f"dataset {files.dataset!r}: the sum of {files.weight_branch} is {total:g}, it must "
            "be positive; are its events all there?"
        )
    return files.xsec_pb * processor.config.general.lumi_for(files.year) / total


def _note_weights(
    ledger: Ledger, dataset: str, spectrum: WeightSpectrum | None, factor: float
) -> None:
    """Note how the weights of a dataset are spread, and warn of absurd ones."""
    book = ledger.datasets[dataset]
    if spectrum is None or spectrum.n_events != book.processed.events:
        return  # data, or a skim that does not know of all its events
    report = spectrum.report(factor)
    book.weights = report.to_dict()
    if report.is_odd:
        log.warning("dataset %r: %s; see general.weight_clip", dataset, report)


def lumis_of(
    processor: AnalysisProcessor, metadata: Metadata, collected: Collected
) -> LumiBooks | None:
    """Return the certified sections of the data; None if there is none.

    Parameters
    ----------
    processor, metadata
        What is done, and with which files.
    collected
        What has come back so far.
    """
    golden = {k: golden_jsons(t.lumi_mask) for k, t in processor.tasks.items() if t.is_data}
    sums = collected.sums
    seen = {name: sums[name].get("sections", {}) if name in sums else {} for name in golden}
    opened = (metadata.files, metadata.failures)
    files = file_sections(*opened, seen=seen, n_processed=collected.file_events)
    return balanced(files, golden)


SMALL = 1e-3  # of the sum of weights: less is not worth a word


def theory_of(
    processor: AnalysisProcessor, dataset: str, sums: ChunkSums, ledger: Ledger
) -> Theory:
    """Collect members and norms of a dataset; what it lacks is said, once.

    Parameters
    ----------
    sums
        Of all its chunks.
    ledger
        Says whether its files were filtered before they came here.

    Raises
    ------
    IntccmsError
        If a sum of weights that a variation is to be divided by is not positive.
    """
    plan, members = processor.plans[dataset], sums.get("members", {})
    if not (plan.members or plan.normalised) or not processor.has_analysis:
        return Theory()
    _tell(plan, dataset, sums)
    if plan.normalised and ledger.datasets[dataset].sumw_source == "runs":
        log.warning(
            "dataset %r was filtered before: its varied weights are normalised to the events that "
            "are left, not to those that were generated",
            dataset,
        )
    return Theory(members, _norms(plan, dataset, sums["weights"]))


def _norms(plan: VariationPlan, dataset: str, weights: WeightSums) -> dict[str, float]:
    """Give, by label of a variation or member, its nominal sum of weights over its own."""
    totals = {label: float(total.item()) for label, total in weights.sums.rounded().items()}
    norms: dict[str, float] = {}
    for place in plan.normalised:
        _, source = plan.of(place)
        for label in [label for label in totals if label.startswith(f"{place.name}/")]:
            parts = label.split("/")[1:]
            if parts[-1] == ALL or (len(parts) > 1 and parts[-1] == NOMINAL):
                continue
            reference = [place.name, *parts[:-1], NOMINAL] if len(parts) > 1 else [place.name, ALL]
            ratio = _ratio(totals["/".join(reference)], totals[label])
            if ratio is None:
                raise IntccmsError(
                    f"dataset {dataset!r}: the sum of weights of {source.name!r} ({parts[-1]}) is "
                    f"{totals[label]:g}, to which nothing can be normalised"
                )
            key = [source.name, *parts] if len(parts) > 1 else [f"{source.name}_{parts[0]}"]
            norms["/".join(key)] = ratio
    return norms


def _ratio(nominal: float, varied: float) -> float | None:
    if nominal == 0.0 and varied == 0.0:  # of no event
        return 1.0
    ratio = nominal / varied if varied else np.inf
    return ratio if np.isfinite(ratio) and ratio > 0 else None


def _tell(plan: VariationPlan, dataset: str, sums: ChunkSums) -> None:
    """Return which variations a dataset does not have because its events have no such weights."""
    missing: dict[str, list[str]] = {}
    for place in plan.members:
        if _has_none(plan, place, sums):
            _, source = plan.of(place)
            branch = branch_of(plan, place).obj
            title = sums["weights"].titles.get(branch)
            about = branch if title is None else f"{branch}, title {title!r}"
            missing.setdefault(about, []).append(source.name)
    if missing:
        parts = [f"{', '.join(names)} ({about})" for about, names in missing.items()]
        log.warning(
            "dataset %r has no weights that are known for %s: it is without these variations",
            dataset,
            "; ".join(parts),
        )
    partly = {name: share for name, share in _shares(plan, sums) if SMALL < share < 1 - SMALL}
    if partly:
        log.warning(
            "dataset %r has weights for a part of its events only, the others stay nominal: %s",
            dataset,
            ", ".join(f"{name} {share:.1%}" for name, share in partly.items()),
        )


def _shares(plan: VariationPlan, sums: ChunkSums) -> Iterator[tuple[str, float]]:
    """Yield the share of the sum of weights that has the members of a source, where it is known."""
    totals = {label: float(one.item()) for label, one in sums["weights"].sums.rounded().items()}
    for place in plan.normalised:
        _, source = plan.of(place)
        total = totals.get(f"{place.name}/{ALL}", 0.0)
        if source.members is not None and total:
            start, end = f"{place.name}/", f"/{NOMINAL}"
            of_groups = (v for k, v in totals.items() if k.startswith(start) and k.endswith(end))
            yield source.name, sum(of_groups) / total


def _has_none(plan: VariationPlan, place: WeightSource, sums: ChunkSums) -> bool:
    """Return whether no event has the members of a source, as far as that can be told."""
    histograms = sums["histograms"].values()
    labels = {label for one in sums["members"].values() for label in one.labels}
    is_known = any(one.sumw.levels for one in histograms)  # some event was selected
    prefix = f"{place.name}/"
    for one in plan.normalised:
        if plan.of(one) == plan.of(place):
            labels, is_known = set(sums["weights"].sums.labels) - {f"{one.name}/{ALL}"}, True
            prefix = f"{one.name}/"
    return is_known and not any(label.startswith(prefix) for label in labels)

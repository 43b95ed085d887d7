"""Checks of a configuration against its inputs, before anything is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intccms.datasets import DatasetFiles, Fileset
from intccms.datasets.fileset import RUNS_WEIGHT
from intccms.datasets.metadata import Metadata
from intccms.datasets.skimmed_rows import EventMetadata
from intccms.engine.corrections import check_correction_files
from intccms.engine.keys import names_of_sums
from intccms.engine.object_corrections import with_new_columns
from intccms.engine.objects import from_events, overlaps
from intccms.engine.processor import AnalysisProcessor, DatasetTask
from intccms.engine.scores import with_scores
from intccms.engine.variations import reads
from intccms.errors import (
    FunctionError,
    InputError,
    MissingColumnError,
    MissingSumsError,
    attempted,
)
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import Config, FunctionSpec
from intccms.skimming import SkimStore
from intccms.skimming.manifest import REMAKE
from intccms.skimming.reading import input_store
from intccms.skimming.writing import SkimWriter, at_storage, only_skims, writes_skims

log = logging.getLogger(__name__)

SOME = 3  # parts of a skim that are looked at: all have the same columns
FEW = 100  # events to look at when none is not enough

_ADD = "add it to preprocess.branches and "
GOLDEN_SUFFIXES = (".json", ".txt")
END = 2**32  # of the numbers of runs and sections


def make_processor(
    config: Config, fileset: Fileset, *, trained: bool | None = None
) -> AnalysisProcessor:
    """Make the processor, after a look at its correction files, golden JSONs and classifiers.

    Parameters
    ----------
    config, fileset
        What to do with which files.
    trained
        Whether classifiers have been trained; None: unless this run trains them.

    Raises
    ------
    InputError
        If one of them is absent or malformed.
    """
    check_correction_files(config, list(dict.fromkeys(files.year for files in fileset)))
    here = {"base_dir": str(config.general.input_path("."))}  # workers run in other directories
    config = config.model_copy(update={"general": config.general.model_copy(update=here)})
    tasks = dataset_tasks(config, fileset)
    if not only_skims(config.general):
        trained = not config.general.run_mva_training if trained is None else trained
        config = with_scores(config, trained=trained)
    writer = SkimWriter.of(config, fileset) if writes_skims(config.general) else None
    return AnalysisProcessor(config, tasks, writer)


def dataset_tasks(config: Config, fileset: Iterable[DatasetFiles]) -> dict[str, DatasetTask]:
    """Return for each dataset how its events are to be treated.

    Raises
    ------
    InputError
        If a golden JSON is not there or is not one.
    """
    masks: dict[str, FunctionSpec | None] = {}
    selections: dict[str, FunctionSpec | None] = {}
    for entry in config.datasets.datasets:
        masks.update(zip(entry.keys(), entry.lumi_mask, strict=True))
        selections.update(zip(entry.keys(), entry.selection, strict=True))
    return {
        files.dataset: DatasetTask(
            files.dataset,
            files.process,
            files.year,
            files.is_data,
            files.weight_branch,
            _with_input_paths(config, masks[files.dataset]),
            selections[files.dataset],
            {} if files.is_data else names_of_sums(config, files.year),
            files.weight_clip,
        )
        for files in fileset
    }


def _with_input_paths(config: Config, mask: FunctionSpec | None) -> FunctionSpec | None:
    """Make paths among the keyword arguments of a lumi mask absolute, from `general.base_dir`."""
    if mask is None:
        return None
    kwargs = dict(mask.static_kwargs)
    for name, value in kwargs.items():
        if str(value) in golden_jsons(mask):
            path = config.general.input_path(str(value))
            _check_golden_json(path)
            kwargs[name] = str(path)
    return FunctionSpec(function=mask.function, use=mask.use, static_kwargs=kwargs)


def golden_jsons(mask: FunctionSpec | None) -> tuple[str, ...]:
    """Name the files that say to a lumi mask which sections are certified."""
    values = [] if mask is None else mask.static_kwargs.values()
    return tuple(
        str(value)
        for value in values
        if isinstance(value, str | Path) and str(value).endswith(GOLDEN_SUFFIXES)
    )


def _check_golden_json(path: Path) -> None:
    where = f"the golden JSON {path}"
    try:
        runs: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"cannot read {where}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{where} is not JSON: {exc}") from exc
    problem = ""
    if not isinstance(runs, Mapping) or not all(isinstance(one, list) for one in runs.values()):
        raise InputError(f"{path} is not a golden JSON: it must map runs to lists of [first, last]")
    for run, pairs in runs.items():
        if not (run.isdecimal() and int(run) < END):
            problem = problem or f"{run!r} is not the number of a run"
        for pair in pairs:  # whole numbers, as coffea's `LumiMask` reads them; the end is in it
            is_pair = isinstance(pair, list) and [type(end) for end in pair] == [int, int]
            if not (is_pair and 0 <= pair[0] <= pair[1] < END):
                problem = problem or f"{pair!r} in run {run} is not a pair [first, last]"
    if problem:
        raise InputError(f"{path} is not a golden JSON: {problem}")
    if not any(runs.values()):
        raise InputError(f"{where} is empty: it certifies nothing")


def check_columns(
    processor: AnalysisProcessor,
    metadata: Metadata,
    workers: Callable[[], Executor] = IterativeExecutor,
) -> None:
    """Run the analysis on no or few events of each dataset, to see that every column is there.

    Parameters
    ----------
    processor, metadata
        What is to be done, and where the events are.
    workers
        Looks at skims, where their storage has secrets that only workers know.

    Raises
    ------
    MissingColumnError
        If every readable file of a dataset lacks a column; it names both. A file that lacks
        what its siblings have is a loss and is found when it is read.
    InputError
        If nobody knows the sum of weights of the events that were generated for a file.
    """
    if processor.has_analysis:
        _check_sums_of_weights(metadata)
    store = None if metadata.skimmed_rows is None else input_store(processor.config)
    executor = IterativeExecutor() if store is None else at_storage(store, workers)
    for files in metadata.fileset:
        looks = [(files, tuple(_looks(metadata, files)))]
        ((_, missing),) = executor.map(_missing_in_all, looks, arguments=(processor, store))
        if isinstance(missing, Exception) and not isinstance(missing, MissingColumnError):
            raise missing
        if missing is not None:
            what = f"dataset {files.dataset!r}: {missing}"
            if metadata.skimmed_rows is not None:
                add = "" if isinstance(missing, MissingSumsError) else _ADD
                what = f"the skim of {what}; {add}{REMAKE}"
            raise MissingColumnError(what) from missing


def _check_sums_of_weights(metadata: Metadata) -> None:
    """Refuse filtered files whose weight has no sum in the tree ``Runs``."""
    for files in metadata.fileset:
        if files.is_data or files.has_sum_in_runs:
            continue
        for count in metadata.files_of(files.dataset):
            if count.is_filtered:
                raise InputError(
                    f"dataset {files.dataset!r}: {count.lfn} holds {count.n_events:,} of "
                    f"{count.runs_count:,} generated events, and its tree Runs has the sum of "
                    f"{RUNS_WEIGHT} only, not of {files.weight}: set weight_branch to "
                    f"{RUNS_WEIGHT} without weight_clip, or take files that were not filtered"
                )


@dataclass(frozen=True)
class _Look:
    """A file to look at: where it is, and how many events there are."""

    pfn: str
    tree_name: str
    n_events: int
    about: EventMetadata


def _missing_in_all(
    looks: tuple[DatasetFiles, tuple[_Look, ...]],
    processor: AnalysisProcessor,
    store: SkimStore | None,
) -> MissingColumnError | None:
    """Return what every readable file of a dataset lacks."""
    files, several = looks
    options = {} if store is None else store.reader_options()
    missing: MissingColumnError | None = None
    for look in several:
        few = min(look.n_events, FEW)
        error = attempted(_check, processor, files, look, options)
        if isinstance(error, FunctionError) and few:  # it cannot take an empty array
            error = attempted(_check, processor, files, look, options, few)
        if not isinstance(error, MissingColumnError):
            if error is not None:  # found again, and booked, when the file is read
                log.debug("%s in %s: %r", files.dataset, look.pfn, error)
            return None
        missing = error
    return missing


def _looks(metadata: Metadata, files: DatasetFiles) -> Iterator[_Look]:
    """Return the files of a dataset; of a skim those that hold events first, each once."""
    if metadata.skimmed_rows is None:
        for count in metadata.files_of(files.dataset):
            about: EventMetadata = {"dataset": files.dataset, "filename": count.lfn}
            yield _Look(count.pfn, files.tree_name, count.n_events, about)
        return
    of_dataset = [item for item in metadata.work_items if item.dataset == files.dataset]
    pieces = [piece for item in of_dataset for piece in metadata.rows_of(item) or ()]
    seen: set[str] = set()
    for piece in sorted(pieces, key=lambda one: one.rows[0] == one.rows[1]):
        if len(seen) < SOME and piece.pfns[0] not in seen and not piece.missing:
            seen.add(piece.pfns[0])
            pfn, n_rows = piece.pfns[0], piece.rows[1] - piece.rows[0]
            about = {"dataset": files.dataset, "filename": pfn, "whole": piece.whole}
            yield _Look(pfn, piece.tree_name, n_rows, about)


def truncations(processor: AnalysisProcessor) -> list[str]:
    """Return which object variations the skim cuts off, because it reads what they move."""
    skim = processor.config.preprocess.skimming.selection
    refs = () if skim is None else skim.use
    notes: dict[str, None] = {}
    for dataset in processor.tasks:
        plan = processor.plans[dataset]
        for shift in plan.object_systematics:
            moved = plan.touched[shift.label]
            if any(overlaps(ref, other) for ref in refs for other in moved):
                source = plan.corrections[shift.correction].uncertainty_sources[shift.source]
                notes[
                    f"the skim reads what {source.name!r} moves: events that only a variation "
                    "would let pass are missing from its templates"
                ] = None
    return list(notes)


def _check(
    processor: AnalysisProcessor,
    files: DatasetFiles,
    look: _Look,
    options: Mapping[str, Any],
    n_events: int = 0,
) -> None:
    source = open_source(look.pfn, look.tree_name, options)
    events = source.events(0, n_events, ReadMeter(), look.about)
    if processor.has_analysis:
        plan = processor.plans[files.dataset]
        objects = with_new_columns(from_events(events), plan.corrections, plan.read)
        for correction in plan.corrections:
            if correction.type == "object":  # without events no object systematic is evaluated
                for ref in reads(correction):
                    objects.column(ref)
    processor.check(events)

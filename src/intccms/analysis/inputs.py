"""Checks of a configuration against its inputs, before anything is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from intccms.analysis.processor import AnalysisProcessor, DatasetTask
from intccms.analysis.variations import overlaps
from intccms.datasets import DatasetFiles
from intccms.errors import InputError, IntccmsError, MissingColumnError
from intccms.execution.reading import ReadMeter, open_source
from intccms.metadata import Metadata
from intccms.schema import Config, Functor

__all__ = ["check_columns", "dataset_tasks", "golden_jsons", "truncations"]

log = logging.getLogger(__name__)

GOLDEN_SUFFIXES = (".json", ".txt")


def dataset_tasks(config: Config, fileset: Iterable[DatasetFiles]) -> dict[str, DatasetTask]:
    """Say for each dataset how its events are to be treated.

    Raises
    ------
    InputError
        If a golden JSON is not there or is not one.
    """
    masks: dict[str, Functor | None] = {}
    for entry in config.datasets.datasets:
        masks.update(zip(entry.keys(), entry.lumi_mask, strict=True))
    return {
        files.dataset: DatasetTask(
            files.dataset,
            files.process,
            files.year,
            files.is_data,
            files.weight_branch,
            _with_input_paths(config, masks[files.dataset]),
        )
        for files in fileset
    }


def _with_input_paths(config: Config, mask: Functor | None) -> Functor | None:
    """Make paths among the keyword arguments of a lumi mask absolute, from `general.base_dir`."""
    if mask is None:
        return None
    kwargs = dict(mask.static_kwargs)
    for name, value in kwargs.items():
        if str(value) in golden_jsons(mask):
            path = config.general.input_path(str(value))
            _check_golden_json(path)
            kwargs[name] = str(path)
    return Functor(function=mask.function, use=mask.use, static_kwargs=kwargs)


def golden_jsons(mask: Functor | None) -> tuple[str, ...]:
    """Name the files that say to a lumi mask which sections are certified."""
    values = [] if mask is None else mask.static_kwargs.values()
    return tuple(
        str(value)
        for value in values
        if isinstance(value, str | Path) and str(value).endswith(GOLDEN_SUFFIXES)
    )


def _check_golden_json(path: Path) -> None:
    try:
        runs: Any = json.loads(path.read_text())
    except OSError as exc:
        raise InputError(f"cannot read the golden JSON {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise InputError(f"the golden JSON {path} is not JSON: {exc}") from exc
    good = isinstance(runs, Mapping) and all(
        str(run).isdigit() and isinstance(ranges, list) and all(_is_range(pair) for pair in ranges)
        for run, ranges in runs.items()
    )
    if not good:
        raise InputError(f"{path} is not a golden JSON: it must map runs to [first, last] pairs")


def _is_range(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, int) for end in pair)


def check_columns(processor: AnalysisProcessor, metadata: Metadata) -> None:
    """Run the analysis on no events of each dataset, to see whether every column is there.

    Raises
    ------
    MissingColumnError
        If every readable file of a dataset lacks a column; it names both. A file that lacks
        what its siblings have is a loss and is found when it is read.
    """
    for files in metadata.fileset:
        missing: MissingColumnError | None = None
        for count in metadata.files_of(files.dataset):
            missing = _missing_in(processor, files, count.pfn)
            if missing is None:
                break
        if missing is not None:
            raise MissingColumnError(f"dataset {files.dataset!r}: {missing}") from missing


def truncations(processor: AnalysisProcessor) -> list[str]:
    """Say which object variations the skim cuts off, because it reads what they move."""
    skim = processor.config.preprocess.skimming.selection
    refs = () if skim is None else skim.use
    notes: dict[str, None] = {}
    for dataset in processor.tasks:
        plan = processor.plan(dataset)
        for shift in plan.shifts:
            moved = plan.touched(shift)
            if any(overlaps(ref, other) for ref in refs for other in moved):
                source = plan.corrections[shift.correction].uncertainty_sources[shift.source]
                notes[
                    f"the skim reads what {source.name!r} moves: events that only a variation "
                    "would let pass are missing from its templates"
                ] = None
    return list(notes)


def _missing_in(
    processor: AnalysisProcessor, files: DatasetFiles, pfn: str
) -> MissingColumnError | None:
    try:
        source = open_source(pfn, files.tree_name)
        events = source.events(0, 0, ReadMeter(), {"dataset": files.dataset})
        processor.process(events)
    except MissingColumnError as exc:
        return exc
    except (
        IntccmsError
    ) as exc:  # a function that cannot take an empty array says nothing of columns
        log.debug("%s on no events: %s", files.dataset, exc)
    except (OSError, RuntimeError, ValueError) as exc:
        log.debug("%s: %s: %s", pfn, type(exc).__name__, exc)
    return None

"""What the analysis reads of an event: branches, bytes in memory, and the chunk size for that."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import uproot

from intccms.datasets import DatasetFiles, Fileset
from intccms.datasets.contents import FileCount
from intccms.datasets.metadata import Metadata
from intccms.engine.inputs import make_processor
from intccms.engine.objects import top_level
from intccms.engine.processor import AnalysisProcessor
from intccms.engine.scores import references
from intccms.errors import BadContentError, IntccmsError, attempted
from intccms.execution.executors import Executor
from intccms.execution.memory import Load, choose, worker_memory
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import Config, ObjVar

log = logging.getLogger(__name__)

SEED = ObjVar("event", "seed")
IDENTITY = (ObjVar("run"), ObjVar("luminosityBlock"), ObjVar("event"))


def declared_inputs(config: Config, files: DatasetFiles) -> tuple[ObjVar, ...]:
    """Return every reference that the functions of a dataset declare, each once.

    Parameters
    ----------
    config
        Skim, masks, baseline, channels, corrections and observables.
    files
        The dataset: its year picks the corrections, data have a lumi mask.
    """
    entry = config.datasets.process(files.process)
    own = dict(zip(entry.keys(), zip(entry.lumi_mask, entry.selection, strict=True), strict=True))
    wanted = ("both", "data") if files.is_data else ("both", "mc")
    about = (files.process, files.dataset, files.year)
    corrections = [
        one
        for one in config.corrections_for(files.year)
        if one.applies_to in wanted and one.concerns(*about)
    ]
    parts: list[Any] = [
        config.preprocess.skimming.selection,
        own[files.dataset],
        config.good_object_masks.analysis,
        config.baseline_selection,
        config.ghost_observables,
        config.active_channels,
        corrections,
        config.mva,
    ]
    refs = [ref for part in parts for ref in references(part)]
    if files.weight_branch is not None:
        refs.append(ObjVar(files.weight_branch))
    made = {
        (collection, name)
        for derived in config.ghost_observables
        for name, collection in zip(derived.names, derived.collections, strict=True)
    }
    made |= {("mva", one.name) for one in config.mva}
    read = {ref.obj for ref in refs if ref.field and (ref.obj, ref.field) not in made}
    new = {collection for collection, _ in made} - read  # collections that no file has
    inputs: dict[ObjVar, None] = {}
    for ref in refs:
        if ref == SEED:
            inputs.update(dict.fromkeys(IDENTITY))
        elif (ref.obj, ref.field) not in made and ref.obj not in new:
            inputs[top_level(ref)] = None
    return tuple(inputs)


def branches_of(refs: Iterable[ObjVar], branches: Iterable[str]) -> frozenset[str]:
    """Name the branches that references lead to; of a whole collection, all of its branches.

    Parameters
    ----------
    refs
        As functions declare them.
    branches
        Of the files; what is not among them is named as it would be called.

    Examples
    --------
    >>> names = ["nMuon", "Muon_pt", "Muon_eta", "run"]
    >>> sorted(branches_of([ObjVar("Muon", "pt"), ObjVar("run"), ObjVar("Jet", "pt")], names))
    ['Jet_pt', 'Muon_pt', 'nMuon', 'run']
    """
    known = frozenset(branches)
    names: set[str] = set()
    for ref in refs:
        of_collection = {name for name in known if name.startswith(f"{ref.obj}_")}
        if ref.field is not None:
            names.add(f"{ref.obj}_{ref.field}")
        elif ref.obj in known or not of_collection:
            names.add(ref.obj)
        else:
            names |= of_collection
        if of_collection and f"n{ref.obj}" in known:
            names.add(f"n{ref.obj}")
    return frozenset(names)


def branches_read(
    processor: AnalysisProcessor, files: DatasetFiles, pfn: str
) -> frozenset[str] | None:
    """Name the branches that the analysis of a dataset touches, found by running it on no event.

    Parameters
    ----------
    processor
        The analysis.
    files
        The dataset.
    pfn
        Where one of its files can be opened.

    Returns
    -------
    frozenset of str or None
        None where it cannot be run so; see `declared_inputs` then.
    """
    meter = ReadMeter()

    def follow() -> None:
        source = open_source(pfn, files.tree_name)
        processor.check(source.events(0, 0, meter, {"dataset": files.dataset}))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = attempted(follow)
    if error is not None:  # a run will say what is wrong with it
        log.debug("cannot follow the analysis of %s: %s", files.dataset, error)
        return None
    return frozenset(meter.columns)


def columns_by_dataset(
    config: Config,
    fileset: Fileset,
    *,
    pfns: Mapping[str, str],
    branches: Mapping[str, Collection[str]],
) -> tuple[dict[str, frozenset[str]], list[str]]:
    """Name the branches that the analysis reads of each dataset.

    Parameters
    ----------
    config
        The analysis.
    fileset
        Its datasets.
    pfns
        Where a file of a dataset can be opened; without one, what is declared counts.
    branches
        All branches of its files.

    Returns
    -------
    tuple
        The names by dataset; and where they are only what the functions declare, sentences that
        say so.
    """
    notes: list[str] = []
    processor: AnalysisProcessor | None = None
    try:
        processor = make_processor(config, fileset)
    except IntccmsError as error:  # e.g. a correction file that is not there yet
        notes.append(f"Columns are those that the functions declare: {error}")
    columns: dict[str, frozenset[str]] = {}
    for files in fileset:
        read = None
        if processor is not None and files.dataset in pfns:
            read = branches_read(processor, files, pfns[files.dataset])
            if read is None:
                notes.append(f"Columns of {files.dataset} are those that its functions declare")
        if read is None:
            read = branches_of(declared_inputs(config, files), branches.get(files.dataset, ()))
        columns[files.dataset] = read
    return columns, notes


N_FILES = 3  # that are looked at, if the first are damaged
LOOK = 5_000  # events that are processed to see what is read


def rechunked(metadata: Metadata, processor: AnalysisProcessor, executor: Executor) -> Metadata:
    """Cut the work into chunks of the best size where ``general.chunk_size`` is ``auto``."""
    config = processor.config
    if (
        config.general.chunk_size != "auto"
        or metadata.skimmed_rows is not None
        or not metadata.files
    ):
        return metadata
    measured = _columns(metadata, processor)
    if measured is None:
        return metadata
    event_bytes, stored_bytes = measured
    shifts = (len(processor.plans[name].object_systematics) for name in processor.tasks)
    size = choose(
        Load(
            event_bytes,
            stored_bytes,
            max(shifts, default=0) if processor.has_analysis else 0,
            config.general.batch_memory_mb * 1e6,
            worker_memory(executor),
            sum(file.n_events for file in metadata.files),
            executor.n_workers,
        )
    )
    log.info("%s", size.reason)
    return replace(metadata.cut(size.n_events), chunking=size.reason)


def _columns(metadata: Metadata, processor: AnalysisProcessor) -> tuple[float, float] | None:
    """Measure bytes per event, in memory and stored, on the largest file of simulation.

    A damaged file is booked when it is processed; the next one tells as much. None: none does.
    """
    is_data = {name: task.is_data for name, task in processor.tasks.items()}
    files = sorted(metadata.files, key=lambda one: (is_data[one.dataset], -one.n_events))
    for file in files[:N_FILES]:
        try:
            return _columns_of(file, metadata, processor)
        except (BadContentError, OSError) as exc:
            log.debug("%s tells nothing of its columns: %s", file.lfn, exc)
    return None


def _columns_of(
    file: FileCount, metadata: Metadata, processor: AnalysisProcessor
) -> tuple[float, float]:
    tree_name = metadata.fileset[file.dataset].tree_name
    meter = ReadMeter()
    n_events = min(LOOK, file.n_events)
    events = open_source(file.pfn, tree_name).events(
        0, n_events, meter, {"dataset": file.dataset, "fileuuid": file.uuid}
    )
    processor.check(events)
    stored = sum(meter.columns.values()) / max(n_events, 1)
    if not file.pfn.endswith(".root"):
        return 3 * stored, stored
    with uproot.open({file.pfn: None}) as opened:
        branches = [opened[tree_name][name] for name in meter.columns]
        in_memory = sum(branch.uncompressed_bytes for branch in branches) / file.n_events
        return in_memory, sum(branch.compressed_bytes for branch in branches) / file.n_events

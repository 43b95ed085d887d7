"""The key of each chunk's result: it changes when, and only when, the result may change."""

from __future__ import annotations

import hashlib
import logging
import platform
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from intccms.datasets import DatasetFiles
from intccms.datasets.sections import LumiSections
from intccms.engine.processor import AnalysisProcessor, DatasetTask, TrainingTable
from intccms.errors import ConfigError
from intccms.execution.attempt import ColumnPolicy
from intccms.execution.checkpoints import CheckpointStore
from intccms.execution.chunk import ChunkPolicy, PlannedCode
from intccms.execution.tasks import ChunkTask
from intccms.fingerprint.digest import (
    Fingerprint,
    by_content,
    content_digest,
    files_noted,
    fingerprint,
    is_reproducible,
)
from intccms.histograms.exact import ExactSums, WeightSpectrum
from intccms.histograms.sums import (
    CutflowSums,
    HistogramSums,
    MemberSums,
    WeightSums,
    original_json,
)
from intccms.reading.columns import ColumnCache
from intccms.schema import Channel, Config, Correction, FunctionSpec
from intccms.skimming.reading import input_store
from intccms.skimming.writing import NOT_COMPARABLE, SkimTable

log = logging.getLogger(__name__)

CODE = (
    "../chunkcolumns/*.py",
    "analysis/**/*.py",
    "engine/*.py",
    "execution/**/*.py",
    "histograms/*.py",
    "histograms/*.csv",
    "reading/*.py",
    "skimming/*.py",
)
CODECS = (
    *(ExactSums, HistogramSums, MemberSums, WeightSums, WeightSpectrum, CutflowSums),
    *(LumiSections, SkimTable, TrainingTable),
)
KEPT_BYTES = 20_000_000_000  # results of chunks in the output directory, at most
KEPT_S = 30 * 24 * 3600.0  # how long those of other settings are kept
PACKAGES = ("numpy", "awkward", "coffea", "correctionlib", "uproot", "vector")


def dataset_digests(processor: AnalysisProcessor) -> dict[str, str | None]:
    """Digest all that decides the sums of a dataset, but for the events themselves.

    Functions count by structure, correction files and golden JSONs by content. Labels, colours,
    luminosity and cross sections do not count: they come after the sums.

    Returns
    -------
    dict
        By dataset; None where a function has no form that other processes agree on, so that its
        results cannot be reused (the log names it).
    """
    return plan_code(processor)[0]


def _common(processor: AnalysisProcessor) -> tuple[Any, ...]:
    """Give what decides the sums of all datasets alike."""
    config = processor.config
    preprocess, output = config.preprocess, config.preprocess.skimming.output
    common: tuple[Any, ...] = (
        (platform.python_version(), *((name, version(name)) for name in PACKAGES)),
        _own_code(),
        _settled(preprocess.skimming.selection),
    )
    if processor.writer is not None:  # where a skim is written does not count
        options = {k: v for k, v in output.to_kwargs.items() if k != "storage_options"}
        branches = (preprocess.branches, preprocess.mc_branches, preprocess.ignore_missing)
        common += ((output.format, options, preprocess.skimming.tree_name, *branches),)
    if processor.has_analysis:
        common += (
            *map(_settled, (config.good_object_masks, config.baseline_selection)),
            _settled(config.ghost_observables),
            tuple(_channel(channel) for channel in processor.channels),
            config.general.run_histogramming,
            config.general.columns,
            processor.extra,
            {*processor.behaviors.items()},
        )
    return common


def _found(processor: AnalysisProcessor) -> tuple[dict[str, Fingerprint], dict[str, Any]]:
    """Give the fingerprint of all that decides the sums, by dataset, and what it is of."""
    common = _common(processor)
    shared = fingerprint(common)
    parts = {name: _of_dataset(processor, task) for name, task in processor.tasks.items()}
    found = {name: shared.joined(fingerprint(part)) for name, part in parts.items()}
    return found, {name: (common, part) for name, part in parts.items()}


def plan_code(processor: AnalysisProcessor) -> tuple[dict[str, str | None], PlannedCode]:
    """Return `dataset_digests`, and what of it workers can find themselves.

    Raises
    ------
    ConfigError
        If something is an older version of a module that was loaded again since.
    """
    with files_noted() as files:
        fingerprints, everything = _found(processor)
    older = {module for one in fingerprints.values() for module in one.older}
    if older:
        raise ConfigError(
            f"{', '.join(sorted(older))}: edited since, and a function still uses what it was "
            "before; run the cells again that make it"
        )
    keys = _keys_of(fingerprints, everything)
    stable = {
        name: one.digest for name, one in fingerprints.items() if not (one.unstable or one.unseeded)
    }
    return keys, PlannedCode(stable, files, _versions(), partial(_code_here, processor))


def _code_here(processor: AnalysisProcessor) -> tuple[dict[str, str], dict[str, str]]:
    found, _ = _found(processor)
    return {name: one.digest for name, one in found.items()}, _versions()


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in PACKAGES}
    return {"Python": platform.python_version(), **packages, "intccms": _own_code()[:12]}


@lru_cache(maxsize=1)
def _own_code() -> str:
    """Digest the code that turns events into sums: another version may sum something else."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(Path(__file__).parents[1].glob(pattern)):
            digest.update(f"{path.parent.name}/{path.name}".encode() + path.read_bytes())
    return digest.hexdigest()


def _channel(channel: Channel) -> tuple[Any, ...]:
    observables = tuple(
        (one.name, one.binning, one.function, one.use, by_content(one.static_kwargs))
        for one in channel.observables
    )
    return (channel.name, _settled(channel.selection), observables)


def _of_dataset(processor: AnalysisProcessor, task: DatasetTask) -> tuple[Any, ...]:
    plan = processor.plans[task.dataset]
    sums = _sums_of(processor, task.dataset)
    about = (task.dataset, task.is_data, task.weight_branch, task.weight_clip, sums)
    if not processor.has_analysis:
        return (about,)
    mask = task.lumi_mask
    return (
        about,
        mask and (mask.function, mask.use, by_content(mask.static_kwargs)),
        _settled(task.selection),
        tuple(_correction(processor.config, correction) for correction in plan.corrections),
        plan.labels,
        tuple(place.name for place in plan.members),
    )


def _correction(config: Config, correction: Correction) -> tuple[Any, ...]:
    path = correction.file and config.general.input_path(correction.file)
    keys = [source.key for source in correction.uncertainty_sources]
    content = content_digest(path) if path and (correction.use_correctionlib or any(keys)) else None
    fields = {name: getattr(correction, name) for name in type(correction).model_fields}
    return ({**fields, "file": None}, content)


def _settled(part: Any) -> Any:
    """Let the files that are named in arguments of functions count by content."""
    if isinstance(part, FunctionSpec):
        return part.model_copy(update={"static_kwargs": by_content(part.static_kwargs)})
    if isinstance(part, BaseModel):
        fields = {name: getattr(part, name) for name in type(part).model_fields}
        return part.model_copy(update={name: _settled(value) for name, value in fields.items()})
    return type(part)(map(_settled, part)) if type(part) in (list, tuple) else part


def _keys_of(fingerprints: dict[str, Fingerprint], parts: dict[str, Any]) -> dict[str, str | None]:
    """Return the digests by dataset, None where results cannot be kept: one line says why."""
    keys: dict[str, str | None] = {}
    datasets: dict[str, list[str]] = {}  # by reason
    for name, one in fingerprints.items():
        reason = _reason(one, parts[name])
        keys[name] = None if reason else one.digest
        if reason:
            datasets.setdefault(reason, []).append(name)
    for reason, names in datasets.items():
        log.warning("results of %s %s", ", ".join(names), reason)
    return keys


def _reason(identity: Fingerprint, parts: Any) -> str:
    """Return why results cannot be kept; empty if they can."""
    if identity.unseeded:
        return (
            f"are computed each time and never kept: {', '.join(identity.unseeded)} draws from a "
            "random generator that is not seeded, so that each executor gives another answer; use "
            "np.random.normal and its like, or a generator made from the event's numbers"
        )
    if identity.unforeseen:
        return (
            "are computed each time and never kept, as the answer may be another at each call: "
            + ", ".join(identity.unforeseen)
        )
    if identity.unstable and not is_reproducible(parts):
        return f"cannot be reused in a later run: {', '.join(identity.unstable)}"
    return ""


def key_of(task: ChunkTask, files: DatasetFiles, digest: str | None) -> str | None:
    """Return the key of the result of a task; a file counts by what it is, wherever it is read.

    Parameters
    ----------
    digest
        Of its dataset, see `dataset_digests`; None: there is no key.
    """
    item = task.item
    if digest is None or not item.fileuuid:
        return None
    return CheckpointStore.key_of(
        {
            "analysis": digest,
            "file": task.file_key,
            "tree": files.tree_name,
            "entries": [item.entrystart, item.entrystop],
        }
    )


def chunk_policy(processor: AnalysisProcessor, planned: PlannedCode) -> ChunkPolicy:
    """Return how often chunks are tried, where results are kept and how skims are opened."""
    config, writer = processor.config, processor.writer
    codecs = {kind.__name__: kind for kind in CODECS}
    return ChunkPolicy(
        config.preprocess.skimming.max_retries,
        CheckpointStore(config.general.cache_url, codecs=codecs, max_bytes=KEPT_BYTES),
        config.general.read_from_cache,
        is_valid=None if writer is None else writer.is_whole,
        reader_options=input_store(config).reader_options,
        columns=_column_policy(processor),
        planned=planned,
        timeout_s=config.general.chunk_timeout,
    )


def _column_policy(processor: AnalysisProcessor) -> ColumnPolicy | None:
    """Keep columns of events that pass the skim selection, unless skims are written or read."""
    config = processor.config
    general = config.general
    if processor.writer is not None or general.use_skimmed_input or not general.cache_mb:
        return None
    versions = tuple((name, version(name)) for name in PACKAGES)
    selection = config.preprocess.skimming.selection
    common = (versions, _own_code(), _settled(selection))
    digests: dict[str, str | None] = {}
    for name, task in processor.tasks.items():
        about = (task.is_data, task.weight_branch, task.weight_clip, _sums_of(processor, name))
        identity = fingerprint((common, *about))
        # the selection is in the keys of the results, too, where a line says why
        digests[name] = None if _reason(identity, (common, *about)) else identity.digest
    return ColumnPolicy(
        ColumnCache(general.cache_url, int(general.cache_mb * 1e6)),
        digests,
        original_json,
        None if selection is None else selection.function,
        reuse=general.read_from_cache,
    )


def _sums_of(processor: AnalysisProcessor, dataset: str) -> tuple[str, ...]:
    """Name the sums over all events that kept columns come with."""
    return tuple(place.name for place in processor.plans[dataset].normalised)


def names_of_sums(config: Config, year: str | None) -> dict[str, str]:
    """Name the sums over all events of each source that is normalised, by what decides them.

    A skim has the sums of the sources as they were when it was made; functions that have no form
    to be compared are taken to be the same, as for the skim selection.
    """
    names: dict[str, str] = {}
    for correction in config.corrections_for(year):
        for source in correction.uncertainty_sources:
            if source.normalise:
                fields, content = _correction(config, correction)
                parts = ({**fields, "uncertainty_sources": None}, content, source)
                identity = fingerprint(parts, versions=False)
                is_stable = not identity.unstable or is_reproducible(parts)
                digest = identity.digest[:12] if is_stable else NOT_COMPARABLE
                names[source.name] = f"{source.name}:{digest}"
    return names


def prune(config: Config, policy: ChunkPolicy, tasks: list[ChunkTask]) -> None:
    """Keep the run's own store small; one that the user has named may be shared with others."""
    try:
        if policy.columns is not None:
            policy.columns.cache.prune()
    except OSError as exc:
        log.warning("old columns could not be removed: %s", exc)
    if config.general.cache_dir is not None or policy.store is None:
        return
    keys = {task.key for task in tasks if task.key is not None}
    try:
        policy.store.prune(keys, unused_s=KEPT_S)
    except OSError as exc:
        log.warning("old results of chunks could not be removed: %s", exc)

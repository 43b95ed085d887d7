"""Reading skims: the manifests of an earlier run stand in for the original files.

Reads manifests; no original is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from coffea.processor.executor import WorkItem

from intccms.datasets import DatasetFiles, Fileset
from intccms.datasets.contents import FileCount, FileFailure
from intccms.datasets.metadata import Metadata, Twin, without_twins
from intccms.datasets.skimmed_rows import NOTHING, SkimmedRows
from intccms.errors import InputError, SkimWriteError
from intccms.execution.executors import Executor
from intccms.schema import Config, SkimOutput
from intccms.skimming import Gap, SkimManifest, SkimPart, SkimStore
from intccms.skimming.manifest import REMAKE
from intccms.skimming.writing import at_storage, selection_fingerprint, writes_skims

N_EXAMPLES = 3  # files that say which columns a chunk without events has


def input_store(config: Config) -> SkimStore:
    """Return the place of the skims to read: that of the skims to write, if none are written.

    Raises
    ------
    InputError
        If a skim were to be made from itself.
    """
    skimming, general = config.preprocess.skimming, config.general
    default = general.path("skimmed_dir")
    if not (general.use_skimmed_input and writes_skims(general)):
        return SkimStore.of(skimming, default)
    target = skimming.output.output_dir
    if target is None or str(default) == target.rstrip("/"):
        raise InputError(
            "general.run_skimming and general.use_skimmed_input: a skim of a skim needs two "
            "places; it is read from general.skimmed_dir and written to "
            "preprocess.skimming.output.output_dir, which must be given and be another one"
        )
    output = SkimOutput(format=skimming.output.format, from_kwargs=skimming.output.from_kwargs)
    return SkimStore(output, default, tree_name=skimming.tree_name)


def skimmed_metadata(config: Config, fileset: Fileset, workers: Callable[[], Executor]) -> Metadata:
    """Make metadata and plan of the skims of all datasets.

    Parameters
    ----------
    config, fileset
        What is wanted.
    workers
        Reads the manifests, where the storage has secrets that only workers know.

    Raises
    ------
    InputError
        If there is no skim of a dataset, or it does not stand for the files and the selection
        that the configuration asks for now.
    """
    store, wanted = input_store(config), selection_fingerprint(config)
    is_final = not writes_skims(config.general)
    fingerprint, may_lack = wanted if is_final else None, config.general.max_lost_fraction
    storage = at_storage(store, workers)
    loaded = dict(storage.map(_loaded, fileset.keys(), arguments=(store, fingerprint)))
    manifests = {
        files.dataset: _checked(loaded[files.dataset], store, files, fingerprint, may_lack=may_lack)
        for files in fileset
    }
    examples = _example_files(store, fileset, manifests)
    counts: list[FileCount] = []
    items: list[WorkItem] = []
    failures: list[FileFailure] = []
    rows: dict[tuple[str, str, int], tuple[SkimmedRows, ...]] = {}
    for files in fileset:
        manifest = manifests[files.dataset]
        for lfn, parts in _by_file(manifest, files):
            if parts[0].same_as is not None:
                failures += _not_elsewhere(fileset, files, parts[0])
                continue
            counts.append(_count(files, lfn, parts))
            for several in _planned(parts):
                item = _item(files, several)
                items.append(item)
                rows[files.dataset, lfn, item.entrystart] = tuple(
                    _rows_of(
                        part,
                        store,
                        manifest,
                        examples[files.dataset],
                        is_selected=manifest.fingerprint == wanted,
                    )
                    for part in several
                )
        uuids = {count.lfn: count.uuid for count in counts if count.dataset == files.dataset}
        for gap in manifest.gaps(files.lfns):
            if gap.stop is None or gap.source not in uuids:
                why = f"the skim lacks {gap}"
                failures.append(FileFailure(files.dataset, gap.source, "NotInSkim", why))
                continue
            item = _lost_item(files, gap, uuids[gap.source])
            items.append(item)
            rows[files.dataset, gap.source, gap.start] = (_lost_rows(gap),)
    distinct, twins = without_twins(fileset, counts)
    names = {(twin.file.dataset, twin.file.lfn) for twin in twins}
    items = [item for item in items if (item.dataset, item.filename) not in names]
    twins += tuple(_recorded_twins(fileset, manifests))
    return Metadata(fileset, distinct, tuple(failures), tuple(items), rows, twins=twins)


def _not_elsewhere(fileset: Fileset, files: DatasetFiles, part: SkimPart) -> list[FileFailure]:
    """Return a failure if the events of a file are in the skim of a dataset that is not read."""
    dataset, name = part.same_as or ("", "")
    if any(one.dataset == dataset and name in one.lfns for one in fileset):
        return []
    why = f"its events are in the skim of dataset {dataset!r}, as those of {name}"
    return [FileFailure(files.dataset, part.source, "NotInSkim", why)]


def _recorded_twins(fileset: Fileset, manifests: Mapping[str, SkimManifest]) -> Iterator[Twin]:
    """Return the files that were known as copies of others when the skim was made."""
    for files in fileset:
        for lfn, (part, *_) in _by_file(manifests[files.dataset], files):
            if part.same_as is not None and not _not_elsewhere(fileset, files, part):
                yield Twin(_count(files, lfn, [part]), *part.same_as)


def _loaded(
    dataset: str, store: SkimStore, fingerprint: str | None
) -> SkimManifest | Exception | None:
    try:
        return store.load(dataset, fingerprint)
    except (SkimWriteError, OSError, ValueError) as exc:
        return exc


def _checked(
    manifest: SkimManifest | Exception | None,
    store: SkimStore,
    files: DatasetFiles,
    fingerprint: str | None,
    *,
    may_lack: float,
) -> SkimManifest:
    """Check that what was read as the manifest of a dataset stands for its files."""
    if isinstance(manifest, Exception):
        what = f"cannot read the skim of dataset {files.dataset!r}: {manifest}"
        raise InputError(what) from manifest
    if manifest is None:
        make = REMAKE.replace("make it again", "make it")
        raise InputError(f"there is no skim of dataset {files.dataset!r} in {store.root}; {make}")
    manifest.check(
        fingerprint=manifest.fingerprint if fingerprint is None else fingerprint,
        file_format=manifest.format if fingerprint is None else store.output.format,
        lfns=files.lfns,
        is_whole=_lost_fraction(manifest, files) > may_lack,
    )
    for part in manifest.parts:
        if part.weight and part.weight != files.weight:
            raise InputError(
                f"the skim of dataset {files.dataset!r} has the sum of {part.weight} of all "
                f"events, not of {files.weight}; {REMAKE}"
            )
    return manifest


def _lost_fraction(manifest: SkimManifest, files: DatasetFiles) -> float:
    """Return what the skim lacks: of the events, of the files where these are unknown."""
    gaps = manifest.gaps(files.lfns)
    n_absent = sum(gap.stop is None for gap in gaps)
    n_lost = sum(gap.stop - gap.start for gap in gaps if gap.stop is not None)
    n_there = sum(part.n_in for part in manifest.parts if part.file_index < len(files.lfns))
    return max(n_absent / len(files.lfns), n_lost / max(n_lost + n_there, 1))


def _lost_item(files: DatasetFiles, gap: Gap, uuid: str) -> WorkItem:
    """Plan what was lost when the skim was made: it is lost again."""
    about = {"file_index": gap.file_index, "chunk": -1}
    stop = gap.start if gap.stop is None else gap.stop
    return WorkItem(files.dataset, gap.source, files.tree_name, gap.start, stop, uuid, about)


def _lost_rows(gap: Gap) -> SkimmedRows:
    entries = (gap.start, gap.start if gap.stop is None else gap.stop)
    why = f"the skim lacks {gap}"
    return SkimmedRows((gap.source,), "", (0, 0), entries, NOTHING, missing=why)


def _example_files(
    store: SkimStore, fileset: Fileset, manifests: Mapping[str, SkimManifest]
) -> dict[str, tuple[str, ...]]:
    """Name files of each dataset that say which columns there are: of others if it has none.

    Raises
    ------
    InputError
        If no event at all was kept.
    """
    own = {
        name: tuple(store.url(path) for path in manifest.paths[:N_EXAMPLES])
        for name, manifest in manifests.items()
    }
    examples: dict[str, tuple[str, ...]] = {}
    for files in fileset:
        alike = [own[other.dataset] for other in fileset if other.is_data == files.is_data]
        examples[files.dataset] = next(
            filter(None, [own[files.dataset], *alike, *own.values()]), ()
        )
        if not examples[files.dataset]:
            raise InputError(
                "the skim selection has kept no event of any dataset: there is nothing to read"
            )
    return examples


def _by_file(manifest: SkimManifest, files: DatasetFiles) -> Iterator[tuple[str, list[SkimPart]]]:
    """Yield the parts of each wanted file; `SkimManifest.check` has seen that all are there."""
    for index, parts in groupby(manifest.parts, key=lambda part: part.file_index):
        if index < len(files.lfns):
            yield files.lfns[index], list(parts)


def _planned(parts: list[SkimPart]) -> Iterator[list[SkimPart]]:
    """Bring together the parts of each planned chunk: several if it was halved."""
    events = [part for part in parts if part.piece or part.entry_stop > part.entry_start]

    def chunk_of(part: SkimPart) -> tuple[int, int]:
        return part.chunk, -1 if part.piece else part.entry_start

    for _, several in groupby(events, key=chunk_of):
        yield list(several)


def _count(files: DatasetFiles, lfn: str, parts: list[SkimPart]) -> FileCount:
    first = parts[0]
    n_events = first.source_events
    return FileCount(
        dataset=files.dataset,
        lfn=lfn,
        pfn=files.pfns(lfn)[0],
        uuid=first.uuid,
        n_events=max(part.entry_stop for part in parts) if n_events is None else n_events,
        runs_sumw=first.source_sumw,
        runs_count=first.source_count,
        sections=first.source_sections,
        digest=first.source_digest or "",
    )


def _item(files: DatasetFiles, parts: list[SkimPart]) -> WorkItem:
    """Plan a chunk as it was planned for the originals."""
    return WorkItem(
        dataset=files.dataset,
        filename=parts[0].source,
        treename=files.tree_name,
        entrystart=parts[0].entry_start,
        entrystop=parts[-1].entry_stop,
        fileuuid=parts[0].uuid,
        usermeta={"file_index": parts[0].file_index, "chunk": parts[0].chunk},
    )


def _rows_of(
    part: SkimPart,
    store: SkimStore,
    manifest: SkimManifest,
    examples: tuple[str, ...],
    *,
    is_selected: bool,
) -> SkimmedRows:
    """Say to the workers what a part is."""
    has_rows = bool(part.path)
    return SkimmedRows(
        pfns=(store.url(part.path),) if has_rows else examples,
        tree_name=manifest.tree_name,
        rows=part.rows if has_rows else (0, 0),
        entries=(part.entry_start, part.entry_stop),
        whole={
            "n_events": part.n_in,
            "sumw": part.sumw,
            "weights": part.weights,
            "spectrum": part.spectrum,
            "sections": part.sections,
            "is_selected": is_selected,
        },
        size_bytes=part.size_bytes if has_rows else 0,
        sha256=part.sha256 if has_rows else "",
        is_verified=store.verify == "full",
    )

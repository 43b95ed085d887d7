"""Where the parts and manifests of a skim are: written, checked, found again.

A file in a folder or at any fsspec URL appears under its name only when it is complete: local ones
are renamed, objects uploaded as a whole, XRootD's copied aside and then renamed.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.core import url_to_fs

from intccms.datasets.files import bound_waiting
from intccms.errors import InputError, SkimWriteError
from intccms.schema import Skimming, SkimOutput
from intccms.skimming.columns import SkimColumns, check_options, resolved, secrets
from intccms.skimming.formats import (
    SUFFIX,
    Checksums,
    Columns,
    columns_of,
    record_of,
    sha256_of,
    verify_file,
    write_file,
)
from intccms.skimming.manifest import SkimManifest, SkimPart, groups, laid_out, selected_parts
from intccms.storage import BLOCK, UNFINISHED, draft, file_digest, is_local, sizes_below


class Storage:
    """Files below one place.

    Parameters
    ----------
    root
        Folder or URL.
    options
        Of the file system, resolved.
    hidden
        Texts that no message may show.
    """

    def __init__(
        self, root: str, options: Mapping[str, Any] | None = None, *, hidden: Iterable[str] = ()
    ) -> None:
        bound_waiting(root)
        self.root = root.rstrip("/")
        self._hidden = tuple(hidden)
        with _explained("use", self.root, self._hidden):
            self.fs, self._base = url_to_fs(self.root, **(options or {}))

    def url(self, path: str) -> str:
        """Return where a file can be opened."""
        return f"{self.root}/{path}"

    @contextmanager
    def draft(self, path: str) -> Iterator[Path]:
        """Return the name of a local file that becomes `path` when the block ends well.

        Raises
        ------
        SkimWriteError
            If it cannot be written or put there; then nothing is left.
        """
        with (
            _explained("write", self.url(path), self._hidden),
            draft(self.fs, self._at(path)) as file,
        ):
            yield file

    @contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """Return a file as a local one: itself, or a copy for as long as the block lasts."""
        if is_local(self.fs):
            yield Path(self._at(path))
            return
        with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
            copy = Path(folder) / path.rpartition("/")[2]
            with self.fs.open(self._at(path), "rb") as source, copy.open("wb") as file:
                shutil.copyfileobj(source, file, BLOCK)
            yield copy

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        with _explained("read", self.url(path), self._hidden):
            if not self.fs.exists(self._at(path)):
                return None
            with self.fs.open(self._at(path), "rb") as file:
                return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        """Replace a small file, all at once."""
        with self.draft(path) as file:
            file.write_bytes(content)

    def sha256(self, path: str) -> str:
        """Return the checksum of a file as it is read from there."""
        return file_digest(self.fs, self._at(path))

    def sizes(self, folder: str) -> dict[str, int]:
        """List all files below a folder, with their sizes in bytes."""
        with _explained("list", self.url(folder), self._hidden):
            files = sizes_below(self.fs, self._at(folder))
        n_base = len(self._at(""))
        return {name[n_base:]: size for name, size in files.items()}

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None: there is none."""
        with _explained("look at", self.url(path), self._hidden):
            self.fs.invalidate_cache()
            there = self.fs.exists(self._at(path))
            return int(self.fs.info(self._at(path))["size"]) if there else None

    def remove(self, path: str) -> None:
        """Remove a file; none there is fine."""
        with _explained("remove", self.url(path), self._hidden):
            if self.fs.exists(self._at(path)):
                self.fs.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}"


@contextmanager
def _explained(verb: str, url: str, hidden: tuple[str, ...]) -> Iterator[None]:
    """Turn what any storage library raises into one clear line without secrets."""
    try:
        yield
    except (SkimWriteError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as exc:
        reason = _reason(exc)
        text = " ".join(str(reason).split()) or "no reason given"
        for secret in hidden:
            text = text.replace(secret, "***")
        raise SkimWriteError(f"cannot {verb} {url}: {type(reason).__name__}: {text}") from exc


def _reason(exc: BaseException) -> BaseException:
    """Find what the system said, which a library may have tripped over while it cleaned up."""
    error: BaseException | None = exc
    while error is not None:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return exc


log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
EMPTY = "empty"  # suffix of the record of a chunk of which no event was kept
_PART = re.compile(r"/file_\d+/part_\d+(_[\w-]+)?\.(parquet|root|empty)$")


@dataclass(frozen=True, slots=True)
class Record:
    """What a file says about itself: format, tree and the chunks whose events it holds."""

    format: str
    tree_name: str
    parts: tuple[SkimPart, ...]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Record:
        """Read back `to_json`."""
        parts = tuple(SkimPart.from_json(part) for part in plain["parts"])
        return cls(plain["format"], plain["tree_name"], parts)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        parts = [part.to_json() for part in self.parts]
        return {"format": self.format, "tree_name": self.tree_name, "parts": parts}


@dataclass(frozen=True)
class SkimFiles:
    """Files of one format in one storage.

    Parameters
    ----------
    storage, format, tree_name, verify
        Where and how.
    options
        Of the writer, resolved.
    """

    storage: Storage
    format: str
    tree_name: str
    verify: str
    options: Mapping[str, Any]

    def write(self, parts: Sequence[SkimPart], batches: Iterable[Columns]) -> tuple[SkimPart, ...]:
        """Write the file that all `parts` are in, one batch after the other, and check it."""
        path, rows = parts[0].path, parts[-1].rows[1]
        record = Record(self.format, self.tree_name, tuple(parts)).to_json()
        meant = Checksums() if self.verify == "full" else None
        if meant is not None:
            batches = meant.through(batches)
        with self.storage.draft(path) as draft:
            write_file(
                draft,
                self.format,
                batches,
                tree=self.tree_name,
                record=record,
                options=self.options,
            )
            if self.verify != "off":
                verify_file(draft, self.format, self.tree_name, rows=rows, meant=meant)
            size_bytes, sha256 = draft.stat().st_size, sha256_of(draft)
        if self.verify == "full" and self.storage.sha256(path) != sha256:
            self.storage.remove(path)
            raise SkimWriteError(f"{self.storage.url(path)} is not what was sent there")
        return tuple(replace(part, size_bytes=size_bytes, sha256=sha256) for part in parts)

    def write_empty(self, part: SkimPart) -> None:
        """Write the record of a chunk of which no event was kept."""
        record = Record(self.format, self.tree_name, (part,)).to_json()
        self.storage.write(f"{place_of(part)}.{EMPTY}", json.dumps(record).encode())

    def batches(self, parts: Sequence[SkimPart]) -> Iterator[Columns]:
        """Read the rows of parts, one part after the other."""
        for part in parts:
            with self.storage.local_copy(part.path) as copy:
                yield dict(columns_of(copy, self.format, self.tree_name, part.rows))

    def manifest(self, dataset: str) -> SkimManifest | None:
        """Read the manifest of a dataset; None: there is none that can be read."""
        text = self.storage.read(f"{dataset}/{MANIFEST}")
        try:
            return None if text is None else SkimManifest.from_json(text.decode())
        except ValueError as exc:
            log.warning("%s is damaged: %s", self.storage.url(f"{dataset}/{MANIFEST}"), exc)
            return None

    def record(self, path: str) -> Record | None:
        """Read what a file says about itself, size and checksum included; None: nothing."""
        try:
            if path.endswith(f".{EMPTY}"):
                return Record.from_json(json.loads(self.storage.read(path) or b""))
            kind = "parquet" if path.endswith(SUFFIX["parquet"]) else "ttree"
            with self.storage.local_copy(path) as copy:
                record = Record.from_json(record_of(copy, kind))
                size_bytes, sha256 = copy.stat().st_size, sha256_of(copy)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log.warning("%s is left out: it cannot be read: %s", self.storage.url(path), exc)
            return None
        parts = (replace(part, size_bytes=size_bytes, sha256=sha256) for part in record.parts)
        return replace(record, parts=tuple(parts))


def place_of(part: SkimPart) -> str:
    """Name the file of a chunk below the output directory, without its suffix."""
    name = f"part_{part.chunk}" + (f"_{part.piece}" if part.piece else "")
    return f"{part.dataset}/file_{part.file_index}/{name}"


def is_part(path: str) -> bool:
    """Return whether a file has the name of a part or of the record of an empty chunk."""
    return _PART.search(path) is not None


class SkimStore:
    """The skims of a run, in a folder or at any fsspec URL; it can be sent to workers.

    Parameters
    ----------
    output
        Format, place and options.
    default_dir
        Where to, if `output` does not say.
    tree_name
        Tree of the files.
    verify
        What is checked of each file: ``count``, ``full`` or ``off``.
    """

    def __init__(
        self,
        output: SkimOutput,
        default_dir: str | Path,
        *,
        tree_name: str = "Events",
        verify: str = "count",
    ) -> None:
        self.output, self.tree_name, self.verify = output, tree_name, verify
        root = str(output.output_dir or default_dir).rstrip("/")
        self.root = root if "://" in root else str(Path(root).absolute())  # workers sit elsewhere

    @classmethod
    def of(cls, skimming: Skimming, default_dir: str | Path) -> SkimStore:
        """Make it as configured."""
        return cls(
            skimming.output, default_dir, tree_name=skimming.tree_name, verify=skimming.verify
        )

    def check(self) -> None:
        """Check place, format and options; the storage is not touched.

        Raises
        ------
        ConfigError
            In one line, which option is wrong.
        """
        check_options(self.output)

    def probe(self) -> None:
        """Write and remove a small file; on a worker, as credentials may be there only.

        Raises
        ------
        InputError
            In one line, why nothing can be written there.
        """
        path = f".probe-{uuid4().hex}"
        try:
            storage = self._files.storage
            storage.write(path, b"x")
            storage.remove(path)
        except SkimWriteError as exc:
            raise InputError(f"preprocess.skimming.output.output_dir: {exc}") from exc

    def reader_options(self) -> dict[str, Any]:
        """Resolve ``from_kwargs``; on a worker, where a part is read."""
        options: dict[str, Any] = resolved(_to_read(self.output))
        return options

    def url(self, path: str) -> str:
        """Return where a part can be opened, by its `path`."""
        return f"{self.root}/{path}"

    def write(self, events: Any, columns: SkimColumns, part: SkimPart) -> SkimPart:
        """Write the kept events of a chunk and return the complete record.

        Parameters
        ----------
        events
            NanoEvents that pass the skim selection.
        columns
            What to keep of them.
        part
            The chunk; without what only the writer knows.

        Raises
        ------
        MissingColumnError
            If the source lacks a branch to keep.
        SkimWriteError
            If it cannot be written, or cannot be read as it was written; nothing is left then.
        """
        if len(events) == 0:
            self._files.write_empty(part)
            return part
        branches = columns.take(events, is_data=part.is_data, source=part.source)
        part = replace(
            part,
            n_out=len(events),
            path=f"{place_of(part)}.{SUFFIX[self.output.format]}",
            rows=(0, len(events)),
            columns=tuple(branches),
        )
        return self._files.write([part], [branches])[0]

    def holds(self, part: SkimPart) -> bool:
        """Return whether the file of a part is there, with its size; an empty chunk has none."""
        return not part.path or self._files.storage.size(part.path) == part.size_bytes

    def coalesce(self, parts: Sequence[SkimPart], target_events: int) -> tuple[SkimPart, ...]:
        """Put small parts of one source file together.

        Parameters
        ----------
        parts
            All of one source file, empty ones too.
        target_events
            Kept events of a file, at least; the last one may have fewer.

        Returns
        -------
        tuple
            The same chunks, with their new files and rows. The old files stay until `save`.

        Raises
        ------
        SkimWriteError
            If a part cannot be read, or the new file cannot be written.
        """
        files, done = self._files, [part for part in parts if not part.path]
        for group in groups((part for part in parts if part.path), target_events):
            same = len({part.path for part in group}) == 1
            done += group if same else files.write(laid_out(group), files.batches(group))
        return tuple(sorted(done, key=lambda part: part.entry_start))

    def save(self, parts: Iterable[SkimPart]) -> SkimManifest:
        """Write ``<dataset>/manifest.json``, then remove files that it does not list.

        Chunks of the same skim that `parts` says nothing about, as those of files that this run
        left out, are taken over from the manifest that is there. Parts of source files that the
        manifest knows nothing of stay: a run that was killed may come back to them.

        Parameters
        ----------
        parts
            Of one dataset, of chunks with and without kept events.
        """
        files, kind = self._files, {"file_format": self.output.format, "tree_name": self.tree_name}
        manifest = SkimManifest.of(parts, **kind)
        before, sizes = files.manifest(manifest.dataset), files.storage.sizes(manifest.dataset)
        if before is not None and _kind(before) == _kind(manifest):
            older = [
                part
                for part in before.parts
                if not part.path
                or (part.path not in manifest.paths and sizes.get(part.path) == part.size_bytes)
            ]
            manifest = SkimManifest.of(selected_parts([manifest.parts, older]), **kind)
        empty = {f"{place_of(part)}.{EMPTY}": part for part in manifest.parts if not part.path}
        for path in empty.keys() - sizes.keys():
            files.write_empty(empty[path])
        files.storage.write(f"{manifest.dataset}/{MANIFEST}", manifest.to_json().encode())
        folders = {place_of(part).rpartition("/")[0] for part in manifest.parts}
        for path in sizes.keys() - empty.keys() - set(manifest.paths):
            is_old = is_part(path) and path.rpartition("/")[0] in folders
            if is_old or path.endswith(UNFINISHED):
                files.storage.remove(path)
        return manifest

    def load(self, dataset: str, fingerprint: str | None = None) -> SkimManifest | None:
        """Read a manifest, or make it again from the parts; None: there is no skim.

        Parameters
        ----------
        dataset
            Its key.
        fingerprint
            Of the selection that is wanted, if parts of several are found.
        """
        files = self._reading
        manifest = files.manifest(dataset)
        if manifest is not None:
            return manifest
        kinds: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for path in sorted(filter(is_part, files.storage.sizes(dataset))):
            record = files.record(path)
            if record is not None:
                kinds[record.format, record.tree_name].append(record)
        wanted = (self.output.format, self.tree_name)
        for kind in sorted(kinds, key=lambda kind: (kind != wanted, -len(kinds[kind]))):
            parts = selected_parts([record.parts for record in kinds[kind]], fingerprint)
            if parts:
                log.warning("%s/%s is made again from the parts", self.url(dataset), MANIFEST)
                return SkimManifest.of(parts, file_format=kind[0], tree_name=kind[1])
        return None

    @property
    def _files(self) -> SkimFiles:
        """The files to write; secrets are resolved here, where they are used, each time."""
        return _opened(self, self.output.to_kwargs)

    @property
    def _reading(self) -> SkimFiles:
        """The files to read."""
        return _opened(self, _to_read(self.output))


def retire(store: SkimStore, dataset: str, fingerprint: str) -> None:
    """Remove the manifest of a skim in another format or with another selection.

    Its parts are about to be overwritten; of what is left of them they tell themselves.

    Raises
    ------
    SkimWriteError
        If it cannot be removed.
    """
    files = store._files
    before = files.manifest(dataset)
    wanted = (store.output.format, fingerprint)
    if before is not None and (before.format, before.fingerprint) != wanted:
        files.storage.remove(f"{dataset}/{MANIFEST}")


def _to_read(output: SkimOutput) -> dict[str, Any]:
    """Return the options of the reader, whose credentials are those of the writer if need be."""
    shared = {k: v for k, v in output.to_kwargs.items() if k == "storage_options"}
    return shared | output.from_kwargs


def _opened(store: SkimStore, options_asked: dict[str, Any]) -> SkimFiles:
    options = resolved(options_asked)
    storage = Storage(store.root, options.get("storage_options"), hidden=secrets(options_asked))
    return SkimFiles(storage, store.output.format, store.tree_name, store.verify, options)


def _kind(manifest: SkimManifest) -> tuple[object, ...]:
    return manifest.format, manifest.tree_name, manifest.fingerprint, manifest.n_listed

"""Files that are there whole or not at all, at any place that fsspec knows, and their layout.

The one place that writes files so that they survive a kill, and that knows where below
``general.output_dir`` each result is.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol
from uuid import uuid4

import numpy as np

from intccms.errors import InputError, OutputError
from intccms.redaction import redacted

UNFINISHED = ".tmp"  # how the name of a file ends that is being written
# A whole object appears at once or not at all; elsewhere it is written aside and renamed.
OBJECT_STORES = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}
BLOCK = 1 << 22  # bytes that are copied at once
FULL = (errno.ENOSPC, errno.EDQUOT)
OF_DISKS = (*FULL, errno.EROFS, errno.EFBIG, errno.EIO)


class HasPaths(Protocol):
    """What `Output` needs of the ``general`` block of a configuration."""

    def path(self, name: Literal["output_dir", "cache_dir", "metadata_dir", "skimmed_dir"]) -> Path:
        """Give one of the directories that a run writes to."""
        ...


class Output:
    """Every path below ``general.output_dir``; naming a path does not make it.

    Parameters
    ----------
    general
        The ``general`` block of a validated configuration.
    """

    def __init__(self, general: HasPaths) -> None:
        self.directory = general.path("output_dir")
        self.metadata_dir = general.path("metadata_dir")  # fileset, work items, numbers of events
        self.skimmed_dir = general.path("skimmed_dir")  # <dataset>/file_<i>/part_<j>
        self.partials_dir = general.path("cache_dir")  # checkpoints and kept columns
        self.config_json = self.directory / "config.json"  # resolved, without secrets
        self.run_summary_json = self.directory / "run_summary.json"
        self.processed_lumis_json = self.directory / "processed_lumis.json"  # as a golden JSON
        self.plots_dir = self.directory / "plots"  # of observables and systematic variations
        self.histograms_dir = self.directory / "histograms"  # as ROOT, JSON and pickle
        self.statistics_dir = self.directory / "statistics"  # workspace, fit, limits, datacards

    def mva_dir(self, classifier: str) -> Path:
        """Give the directory of a trained classifier: model, what is known of it, figures."""
        return self.directory / "mva" / classifier

    def measurement_dir(self, measurement: str) -> Path:
        """Directory of one performance measurement."""
        return self.directory / "metrics" / measurement

    def receipts_jsonl(self, measurement: str) -> Path:
        """One line per processed chunk."""
        return self.measurement_dir(measurement) / "receipts.jsonl"

    def overview_png(self, measurement: str) -> Path:
        """One picture of the run."""
        return self.measurement_dir(measurement) / "overview.png"

    def report_html(self, measurement: str) -> Path:
        """One page on the run, to be read without a server."""
        return self.measurement_dir(measurement) / "report.html"

    def prepare(self) -> None:
        """Make the output directory and check that files can be written.

        ``metadata_dir``, ``cache_dir`` and ``skimmed_dir`` are made too where the configuration
        puts them outside the output directory; inside it they appear when something is in them.

        Raises
        ------
        InputError
            If a directory cannot be made or written to.
        OutputError
            If there is no room.
        """
        inside = self.directory
        others = (self.metadata_dir, self.partials_dir, self.skimmed_dir)
        for directory in (inside, *others):
            if directory == inside or not directory.is_relative_to(inside):
                check_writable(directory)


def is_local(fs: Any) -> bool:
    """Say whether an fsspec file system is that of this machine."""
    return "file" in _protocols(fs)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


@contextmanager
def draft(fs: Any, path: str, *, durable: bool = True) -> Iterator[Path]:
    """Give the name of a local file that becomes `path` when the block ends well.

    Killed at any time, the old or the new file is at `path`, never a part of one.

    Parameters
    ----------
    fs
        An fsspec file system; missing folders are made.
    durable
        Whether a local file survives a power cut; if not, it may be found damaged then.

    Raises
    ------
    OSError
        If it cannot be written or does not arrive whole; what was there before stays.
    """
    if is_local(fs):
        with _local_draft(Path(path), durable=durable) as file:
            yield file
        return
    with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
        file = Path(folder) / path.rpartition("/")[2]
        yield file
        if OBJECT_STORES & set(_protocols(fs)):
            fs.put_file(str(file), path)
            _check_size(fs, path, file.stat().st_size)
        else:
            with file.open("rb") as source:
                _upload(fs, path, source, file.stat().st_size)


def put(fs: Any, path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a file whose content is at hand, as `draft` does."""
    if is_local(fs):
        with _local_draft(Path(path), durable=durable) as file:
            file.write_bytes(data)
    elif OBJECT_STORES & set(_protocols(fs)):
        fs.pipe_file(path, data)
    else:
        _upload(fs, path, io.BytesIO(data), len(data))


@contextmanager
def _local_draft(path: Path, *, durable: bool = True) -> Iterator[Path]:
    # Not tempfile: its files are readable by their owner only, results are shared.
    aside = path.with_name(_aside(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if durable:
            _sync(aside)
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent) if durable else ():  # where the names stand
        with suppress(PermissionError):  # it may be entered, but not listed
            _sync(folder)


def _aside(name: str) -> str:
    return f".{name}.{uuid4().hex}{UNFINISHED}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _upload(fs: Any, path: str, source: BinaryIO, size: int) -> None:
    folder, _, name = path.rpartition("/")
    fs.makedirs(folder, exist_ok=True)
    aside = f"{folder}/{_aside(name)}"
    try:
        with fs.open(aside, "wb") as file:
            shutil.copyfileobj(source, file, BLOCK)
        _check_size(fs, aside, size)
        fs.mv(aside, path)
    except BaseException:
        _forget(fs, aside)
        raise
    _check_size(fs, path, size)


def _check_size(fs: Any, path: str, size: int) -> None:
    fs.invalidate_cache(path.rpartition("/")[0])
    arrived = int(fs.info(path)["size"])
    if arrived != size:
        _forget(fs, path)
        raise OSError(f"{arrived} of {size} bytes arrived")


def _forget(fs: Any, path: str) -> None:
    with suppress(Exception):  # the first error tells; this one would hide it
        fs.rm_file(path)


def modified(fs: Any, path: str) -> float:
    """Say when a file was last written, in seconds since the epoch; 0 if it is gone."""
    try:
        when = fs.modified(path)
    except FileNotFoundError:
        return 0.0
    return float(when.timestamp() if isinstance(when, datetime) else when)


def remove(fs: Any, path: str) -> bool:
    """Remove a file; say whether it was still there."""
    try:
        fs.rm_file(path)
    except FileNotFoundError:  # another run was quicker
        return False
    return True


def sizes_below(fs: Any, folder: str) -> dict[str, int]:
    """List all files below a folder as they are now, with their sizes in bytes."""
    fs.invalidate_cache()
    files = fs.find(folder, detail=True) if fs.exists(folder) else {}
    return {path: int(info["size"] or 0) for path, info in files.items()}


def remove_oldest(fs: Any, sizes: Mapping[str, int], max_bytes: int) -> int:
    """Remove the files that were not written for longest, down to a bound; return how many."""
    excess, n_removed = sum(sizes.values()) - max_bytes, 0
    if excess <= 0:
        return 0
    times = {path: modified(fs, path) for path in sizes}
    for path in sorted(times, key=times.__getitem__):
        if excess <= 0:
            break
        n_removed += remove(fs, path)
        excess -= sizes[path]
    return n_removed


def digest_of(content: Any) -> str:
    """SHA-256 of the canonical JSON of what holds nothing but what JSON has, as hexadecimals.

    Raises
    ------
    TypeError, ValueError
        If there is something else in it, a NaN included.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(fs: Any, path: str) -> str:
    """SHA-256 of a file as it is read from there, as hexadecimals."""
    digest = hashlib.sha256()
    with fs.open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace a file as a whole: after a crash it holds the old or the new content.

    Parameters
    ----------
    path
        Where to; missing directories are made.
    content
        All of the new content.

    Raises
    ------
    OutputError
        If it cannot be written; what was there before stays.
    """
    try:
        with _local_draft(Path(path)) as file:
            file.write_bytes(content)
    except OSError as error:
        raise OutputError(_unwritten(Path(path), error)) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a text file as a whole, see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Replace a JSON file as a whole, see `write_bytes`.

    Parameters
    ----------
    path
        Where to; missing directories are made.
    content
        Built of dicts, sequences, numbers, strings and paths, NumPy's included. NaN and
        infinities, which JSON has not, become ``null``; credentials in URLs are hidden.

    Raises
    ------
    TypeError
        If something else is in it; then nothing is written.
    """
    write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def _plain(content: Any) -> Any:
    """Turn NumPy numbers, paths and non-finite floats into what JSON knows; hide credentials."""
    if isinstance(content, np.generic | np.ndarray):
        content = content.tolist()
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, str):
        return redacted(content)
    if isinstance(content, dict):
        return {_key(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, os.PathLike):
        return redacted(os.fspath(content))
    return content


def _key(key: Any) -> Any:
    """Turn a NumPy number into a plain one; json.dumps judges the rest."""
    if isinstance(key, str):
        return redacted(key)
    return key.item() if isinstance(key, np.generic) else key


@contextmanager
def disk_errors(directory: Path, advice: str = "") -> Iterator[None]:
    """Say in one line what a disk refuses in this block.

    Parameters
    ----------
    directory
        Where is written, if the error does not say.
    advice
        What is kept, and how to go on.

    Raises
    ------
    OutputError
        In the place of the system's own error.
    """
    more = f"; {advice}" if advice else ""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error}{more}") from error.__cause__
    except OSError as error:
        if error.errno not in OF_DISKS:
            raise
        path = Path(error.filename or directory)
        raise OutputError(f"{_unwritten(path, error)}{more}") from error


def _unwritten(path: Path, error: OSError) -> str:
    """Say which file cannot be written and, if it is full, which file system."""
    text = f"cannot write {path}: {error.strerror or error}"
    if error.errno not in FULL:
        return text
    place = next(one for one in (path, *path.absolute().parents) if one.is_mount())
    if error.errno == errno.EDQUOT:  # others may have room
        return f"{text} (file system {place}: see your quota)"
    try:
        room = os.statvfs(place)
    except OSError:
        return f"{text} (file system {place})"
    free_mb = room.f_bavail * room.f_frsize / 1e6
    return f"{text} (file system {place}: {free_mb:,.1f} MB and {room.f_favail:,} inodes are free)"


def check_writable(directory: Path) -> None:
    """Make `directory` and write a file in it: the permission bits alone can mislead.

    Raises
    ------
    InputError
        If that cannot be done, as it is the wrong place.
    OutputError
        If there is no room.
    """
    probe = directory / f".probe.{uuid4().hex}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if error.errno in FULL:
            raise OutputError(_unwritten(directory, error)) from error
        raise InputError(f"cannot write to {directory}: {error.strerror or error}") from error

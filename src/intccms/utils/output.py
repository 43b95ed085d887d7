"""Where the results go: the one place that knows the layout of the output directory.

Touches the disk: `Output.prepare` makes directories, the `write_…` functions replace whole files.
"""

from __future__ import annotations

import errno
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from intccms.errors import InputError, OutputError
from intccms.redaction import redacted

__all__ = [
    "HasPaths",
    "Output",
    "check_writable",
    "disk_errors",
    "write_bytes",
    "write_json",
    "write_text",
]

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
        self._general = general

    @property
    def directory(self) -> Path:
        """``<output_dir>``."""
        return self._general.path("output_dir")

    @property
    def metadata_dir(self) -> Path:
        """What is known of the input files: fileset, work items, numbers of events."""
        return self._general.path("metadata_dir")

    @property
    def skimmed_dir(self) -> Path:
        """Skimmed files, ``<dataset>/file_<i>/part_<j>``."""
        return self._general.path("skimmed_dir")

    @property
    def partials_dir(self) -> Path:
        """Keyed results of finished chunks (``general.cache_dir``)."""
        return self._general.path("cache_dir")

    @property
    def histograms_dir(self) -> Path:
        """``histograms.root``, ``histograms.json`` and ``histograms.pkl``."""
        return self.directory / "histograms"

    @property
    def histograms_root(self) -> Path:
        """ROOT histograms, ``<channel>/<observable>/<process>/<variation>``."""
        return self.histograms_dir / "histograms.root"

    @property
    def histograms_json(self) -> Path:
        """The same book with all of its bits, from which it is read back."""
        return self.histograms_dir / "histograms.json"

    @property
    def histograms_pkl(self) -> Path:
        """The same book, pickled for users: nothing here reads it."""
        return self.histograms_dir / "histograms.pkl"

    @property
    def statistics_dir(self) -> Path:
        """Workspace, fit, limits and their figures."""
        return self.directory / "statistics"

    @property
    def cabinetry_yml(self) -> Path:
        """The generated cabinetry configuration."""
        return self.statistics_dir / "cabinetry.yml"

    @property
    def workspace_json(self) -> Path:
        """The pyhf workspace."""
        return self.statistics_dir / "workspace.json"

    @property
    def fit_json(self) -> Path:
        """Fit results."""
        return self.statistics_dir / "fit.json"

    @property
    def limits_json(self) -> Path:
        """Upper limits on the signal strength."""
        return self.statistics_dir / "limits.json"

    @property
    def datacards_dir(self) -> Path:
        """Cards for CMS combine."""
        return self.statistics_dir / "datacards"

    @property
    def plots_dir(self) -> Path:
        """Figures of observables and systematic variations."""
        return self.directory / "plots"

    def mva_dir(self, classifier: str) -> Path:
        """Give the directory of a trained classifier: model, what is known of it, figures."""
        return self.directory / "mva" / classifier

    def measurement_dir(self, measurement: str) -> Path:
        """Directory of one performance measurement."""
        return self.directory / "metrics" / measurement

    def receipts_jsonl(self, measurement: str) -> Path:
        """One line per processed chunk."""
        return self.measurement_dir(measurement) / "receipts.jsonl"

    def worker_timeline_json(self, measurement: str) -> Path:
        """Workers, memory and CPU over time."""
        return self.measurement_dir(measurement) / "worker_timeline.json"

    def metrics_json(self, measurement: str) -> Path:
        """Rates, times and sizes of the run."""
        return self.measurement_dir(measurement) / "metrics.json"

    def overview_png(self, measurement: str) -> Path:
        """One picture of the run."""
        return self.measurement_dir(measurement) / "overview.png"

    def report_html(self, measurement: str) -> Path:
        """One page on the run, to be read without a server."""
        return self.measurement_dir(measurement) / "report.html"

    @property
    def processed_lumis_json(self) -> Path:
        """Processed run and lumi sections of the data, in golden-JSON format."""
        return self.directory / "processed_lumis.json"

    @property
    def config_json(self) -> Path:
        """The resolved configuration, without secrets."""
        return self.directory / "config.json"

    @property
    def run_summary_json(self) -> Path:
        """The summary of the run."""
        return self.directory / "run_summary.json"

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
    path = Path(path)
    # Not tempfile: its files are readable by their owner only, results are shared.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(_unwritten(path, error)) from error
        raise


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
    place = next((one for one in (path, *path.absolute().parents) if one.exists()), Path("/"))
    while not place.is_mount() and place != place.parent:
        place = place.parent
    try:
        room = os.statvfs(place)
    except OSError:
        return f"{text} (file system {place})"
    free_mb = room.f_bavail * room.f_frsize / 1e6
    return f"{text} (file system {place}: {free_mb:,.1f} MB and {room.f_favail:,} inodes are free)"


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


def check_writable(directory: Path) -> None:
    """Make `directory` and write a file in it: the permission bits alone can mislead.

    Raises
    ------
    InputError
        If that cannot be done, as it is the wrong place.
    OutputError
        If there is no room.
    """
    probe = directory / f".probe.{uuid.uuid4().hex}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if error.errno in FULL:
            raise OutputError(_unwritten(directory, error)) from error
        raise InputError(f"cannot write to {directory}: {error.strerror or error}") from error

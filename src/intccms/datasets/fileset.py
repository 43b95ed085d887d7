"""From the directories that a configuration names to datasets and the names of their files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from intccms.errors import InputError, nearest
from intccms.redaction import HIDDEN, redacted
from intccms.schema import Config, Dataset, Datasets, General

RUNS_WEIGHT = "genWeight"  # whose sum the tree Runs has, and of no other

_PARQUET = re.compile(r"\.(parquet|parq|pq)\b(?!.*\.root\b)")
_XROOTD_HOST = re.compile(r"(root|xroot|roots)://[^/]+/*")


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """Input files of one dataset, e.g. ``ttbar_semilep_2017``."""

    dataset: str
    process: str
    year: str | None
    is_data: bool
    xsec_pb: float
    lfns: tuple[str, ...]  # "/store/…", URLs or absolute paths; the position numbers the file
    redirectors: tuple[str, ...] = ()  # e.g. ("root://xcache/",), tried in this order
    tree_name: str = "Events"
    weight_branch: str | None = None  # None for data
    n_listed: int = 0  # files in the complete listing, of which `lfns` may be the first
    weight_clip: float | None = None  # larger weights count as this
    has_selection: bool = False  # only a part of its events counts
    # names with credentials, by what `lfns` has in their place: needed to open, never written
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep credentials apart from names, which are written, logged and shown."""
        names = {lfn: redacted(lfn) for lfn in self.lfns}
        credentials = {name: lfn for lfn, name in names.items() if name != lfn}
        if credentials:
            object.__setattr__(self, "lfns", tuple(dict.fromkeys(names.values())))
            object.__setattr__(self, "credentials", {**self.credentials, **credentials})

    @property
    def weight(self) -> str:
        """What an event of simulation counts, in words; empty for data."""
        clipped = "" if self.weight_clip is None else f" clipped at {self.weight_clip:g}"
        return f"{self.weight_branch or ''}{clipped}"

    @property
    def has_sum_in_runs(self) -> bool:
        """Whether the tree ``Runs`` has the sum of the weights over all generated events."""
        return self.weight_branch == RUNS_WEIGHT and self.weight_clip is None

    def pfns(self, lfn: str) -> tuple[str, ...]:
        """Every place where a file can be opened, in the order to try them.

        Parameters
        ----------
        lfn
            One of `lfns`. Names that begin with ``/store/`` get the redirectors put before
            them; a URL or any other path is opened as it stands.
        """
        lfn = self.credentials.get(lfn, lfn)
        if not self.redirectors or not lfn.startswith("/store/"):
            return (lfn,)
        return tuple(_joined(redirector, lfn) for redirector in self.redirectors)


@dataclass(frozen=True, slots=True)
class Fileset:
    """The datasets of a run, in the order of the configuration."""

    datasets: tuple[DatasetFiles, ...]

    def __iter__(self) -> Iterator[DatasetFiles]:
        """Iterate over the datasets (not over their keys)."""
        return iter(self.datasets)

    def __len__(self) -> int:
        """Return the number of datasets."""
        return len(self.datasets)

    def __getitem__(self, key: str) -> DatasetFiles:
        """Look a dataset up by its key, e.g. ``ttbar_semilep_2017``."""
        for files in self.datasets:
            if files.dataset == key:
                return files
        raise KeyError(f"unknown dataset {key!r}; {nearest(key, self.keys())}")

    def keys(self) -> tuple[str, ...]:
        """Return the dataset keys, in order."""
        return tuple(files.dataset for files in self.datasets)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes, each once, in order."""
        return tuple(dict.fromkeys(files.process for files in self.datasets))

    @property
    def n_files(self) -> int:
        """Number of files in all datasets."""
        return sum(len(files.lfns) for files in self.datasets)


def file_format(name: str) -> Literal["root", "parquet"]:
    """Tell the format of a file by its name, as coffea does: the last suffix counts.

    Examples
    --------
    >>> file_format("root://xcache//store/a.root"), file_format("s3://skims/part_0.parquet")
    ('root', 'parquet')
    """
    return "parquet" if _PARQUET.search(name.rpartition("/")[2]) else "root"


def _joined(redirector: str, lfn: str) -> str:
    # XRootD needs two slashes after the host: with one the path is relative to the server's own.
    if _XROOTD_HOST.fullmatch(redirector):
        return f"{redirector.rstrip('/')}/{lfn}"
    return redirector + lfn


log = logging.getLogger(__name__)

COMMENT = re.compile(r"^\s*#|\s+#(?!\S+\.(?:root|parquet)\s*$)")  # "run #2.root" is a name
BINARY = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class DatasetManager:
    """Finds the files of the configured datasets.

    Parameters
    ----------
    datasets
        The ``datasets`` block of a configuration, or a whole configuration.
    general
        The ``general`` block: where relative directories begin, which processes are asked
        for, the weight branch. Without it they begin in the working directory.
    """

    def __init__(self, datasets: Datasets | Config, general: General | None = None) -> None:
        if isinstance(datasets, Config):
            general = general or datasets.general
        self._datasets = datasets.datasets if isinstance(datasets, Config) else datasets
        self._general = general

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the configured processes."""
        return tuple(dataset.name for dataset in self._datasets.datasets)

    def get_redirector(self, process: str) -> str | tuple[str, ...] | None:
        """Return what is put before the ``/store/`` names of a process.

        Parameters
        ----------
        process
            Name of a configured process.

        Returns
        -------
        str, tuple of str or None
            The prefix, several in the order in which they are tried, or None.

        Raises
        ------
        InputError
            If there is no such process.
        """
        redirectors = self._configured(process).redirector
        return redirectors[0] if len(redirectors) == 1 else (redirectors or None)

    def fileset(self, processes: Sequence[str] | None = None) -> Fileset:
        """Read the listings and directories.

        Parameters
        ----------
        processes
            Names of the processes wanted; None: those of ``general.processes``, else all.

        Raises
        ------
        InputError
            If a process is unknown, a directory or listing is missing, or a dataset has no file.
        """
        if processes is None and self._general is not None:
            processes = self._general.processes
        wanted = {dataset.name for dataset in self._datasets.datasets}
        if processes is not None:
            wanted = {self._configured(process).name for process in processes}
        if not wanted:
            raise InputError("no process is selected; see general.processes and datasets")
        return Fileset(
            tuple(
                files
                for dataset in self._datasets.datasets
                if dataset.name in wanted
                for files in self._dataset_files(dataset)
            )
        )

    def _configured(self, process: str) -> Dataset:
        for dataset in self._datasets.datasets:
            if dataset.name == process:
                return dataset
        hint = nearest(process, self.processes)
        raise InputError(f"unknown process {process!r}; {hint}; see datasets in the config")

    def _dataset_files(self, dataset: Dataset) -> Iterator[DatasetFiles]:
        """Make one `DatasetFiles` per directory."""
        parts = zip(
            dataset.keys(),
            dataset.directories,
            dataset.cross_sections,
            dataset.years,
            dataset.selection,
            strict=True,
        )
        for key, directory, xsec_pb, year, selection in parts:
            names = self._names(key, directory, dataset.file_pattern)
            yield DatasetFiles(
                dataset=key,
                process=dataset.name,
                year=year,
                is_data=dataset.is_data,
                xsec_pb=xsec_pb,
                lfns=names[: self._datasets.max_files],
                redirectors=dataset.redirector,
                tree_name=dataset.tree_name,
                weight_branch=self._weight_branch(dataset),
                n_listed=len(names),
                weight_clip=self._weight_clip(dataset),
                has_selection=selection is not None,
            )

    def _weight_branch(self, dataset: Dataset) -> str | None:
        if dataset.is_data:
            return None
        general = self._general.weight_branch if self._general is not None else None
        return dataset.weight_branch or general

    def _weight_clip(self, dataset: Dataset) -> float | None:
        if dataset.is_data or self._general is None:
            return None
        return self._general.weight_clip_for(dataset.name)

    def _names(self, key: str, directory: str, pattern: str) -> tuple[str, ...]:
        """List all files of a dataset, in the order of the listings, each once."""
        path = self._directory(key, directory)
        try:
            matches = sorted(match for match in path.glob(pattern) if match.is_file())
        except (NotImplementedError, ValueError) as error:
            raise InputError(f"dataset {key!r}: file_pattern {pattern!r}: {error}") from error
        if not matches:
            raise InputError(f"dataset {key!r}: no file {pattern!r} in {path}")
        names: dict[str, str] = {}  # by what is written and shown of them
        for match in matches:
            listed = [str(match)]
            if match.suffix == ".txt":
                listed = read_listing(match, f"dataset {key!r}: ")
            for name in listed:
                shown = redacted(name)
                if shown in names:
                    log.warning("dataset %r: %s is listed twice, it is read once", key, shown)
                names[shown] = name
        if not names:
            raise InputError(f"dataset {key!r}: the listings {pattern!r} in {path} name no file")
        if len({file_format(name) for name in names}) > 1:
            raise InputError(f"dataset {key!r} mixes ROOT and parquet files; make it two datasets")
        return tuple(names.values())

    def _directory(self, key: str, directory: str) -> Path:
        path = Path(directory)
        if self._general is not None:
            path = self._general.input_path(directory)
        path = path.absolute()  # workers may have another working directory
        if path.is_dir():
            return path
        what = "is not a directory" if path.exists() else "does not exist"
        where = "" if path == Path(directory) else f": {path} (relative to general.base_dir)"
        raise InputError(f"dataset {key!r}: directory {directory!r} {what}{where}")


def read_listing(listing: Path, what: str = "") -> list[str]:
    """Read the names in a listing; a relative path is meant beside the listing.

    Parameters
    ----------
    listing
        One LFN, URL or path a line; blank lines and what follows a ``#`` at the beginning or
        after a space do not count.
    what
        Whose listing it is, for the beginning of messages.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        text = listing.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{what}cannot read listing {listing}: {reason}") from error
    if BINARY.search(text):
        raise InputError(f"{what}listing {listing} is no text: one name a line is wanted")
    names = [COMMENT.split(line, maxsplit=1)[0].strip() for line in text.splitlines()]
    names = [name for name in names if name]
    left_out = [name for name in names if HIDDEN in name]
    if left_out:
        raise InputError(
            f"{what}listing {listing}: {left_out[0]} was copied from where credentials are left "
            f"out: put that of the URL in the place of {HIDDEN}"
        )
    if not names:
        log.warning("%slisting %s names no file", what, listing)
    return [
        name if "://" in name or Path(name).is_absolute() else str(listing.parent / name)
        for name in names
    ]

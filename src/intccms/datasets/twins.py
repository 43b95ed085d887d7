"""Files that hold the same events under several names: each is read once; pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from intccms.datasets.contents import FileCount
from intccms.datasets.fileset import DatasetFiles, Fileset
from intccms.errors import InputError

__all__ = ["Twin", "without_twins"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Twin:
    """Another name of a file that is read under its first one."""

    file: FileCount
    same_dataset: str
    same_as: str  # LFN of the file that is read


def without_twins(
    fileset: Fileset, counts: Iterable[FileCount]
) -> tuple[tuple[FileCount, ...], tuple[Twin, ...]]:
    """Keep the first of the files that are copies of one another.

    An event of collision data counts once, in whatever dataset. Simulation of one process and year
    counts once, too; that of several years is normalised to the luminosity of each and is kept.
    So is a file of two datasets that both have a selection: each takes its part.

    Parameters
    ----------
    fileset
        What the datasets are.
    counts
        The files that opened, in the order of the fileset.

    Raises
    ------
    InputError
        If two different files have one uuid, if a file is simulation of two processes, or if
        nothing would be left of a simulated dataset.
    """
    kept: list[FileCount] = []
    twins: list[Twin] = []
    seen: dict[str, list[FileCount]] = {}
    for file in counts:
        others = seen.setdefault(file.uuid, []) if file.uuid else []
        first = next((one for one in others if _is_twin(fileset, one, file)), None)
        if first is None:
            others.append(file)
            kept.append(file)
            continue
        twins.append(Twin(file, first.dataset, first.lfn))
        log.warning("the same file twice, it is read once: %s", _names(first, file))
    left = {file.dataset for file in kept}
    for twin in twins:
        files = fileset[twin.file.dataset]
        if files.dataset not in left and not files.is_data:
            raise InputError(
                f"every file of dataset {files.dataset!r} is in another one, too: {twin.file.lfn} "
                f"is {twin.same_as} of {twin.same_dataset!r}; leave one of the directories out"
            )
    return tuple(kept), tuple(twins)


def _is_twin(fileset: Fileset, first: FileCount, file: FileCount) -> bool:
    """Say whether the events of two files with one uuid are to be counted once."""
    if not _same_content(first, file):
        raise InputError(
            f"two different files have one uuid: {_names(first, file)}; one of them was changed "
            "after it was copied: remove the one that is out of date"
        )
    one, other = fileset[first.dataset], fileset[file.dataset]
    if one is not other and one.has_selection and other.has_selection:
        return False
    if one.is_data and other.is_data:
        return True
    if one.is_data or other.is_data or one.process != other.process:
        raise InputError(
            f"one file for two processes, its events would count twice: {_names(first, file)}; "
            "remove it from one of them, or give each of these datasets its 'selection'"
        )
    if _is_one_sample(one, other):
        return True
    if first.lfn != file.lfn:
        log.warning("the same simulation stands for two years: %s", _names(first, file))
    return False


def _is_one_sample(one: DatasetFiles, other: DatasetFiles) -> bool:
    return one.dataset == other.dataset or one.year == other.year


def _same_content(one: FileCount, other: FileCount) -> bool:
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.n_events == other.n_events  # of a skim that an earlier version has made


def _names(one: FileCount, other: FileCount) -> str:
    return f"{one.lfn} ({one.dataset}) and {other.lfn} ({other.dataset})"

"""Which files belong to which physics process, year and cross section."""

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from intccms.errors import nearest
from intccms.schema.base import Functor, KeyProblem, Model, duplicates
from intccms.schema.kinds import Bool, Count, Float, Name, Year, as_names

__all__ = ["Dataset", "Datasets", "is_signal"]

Directories = Annotated[tuple[str, ...], BeforeValidator(as_names)]
PER_DIRECTORY = {
    "cross_sections": "cross_sections",
    "years": "years",
    "lumi_mask": "lumi masks",
    "selection": "selections",
}


def is_signal(process: str) -> bool:
    """Whether a process is a signal by its name, when no list of signals is given."""
    return process.lower().startswith(("signal", "zprime"))


class Dataset(Model):
    """A physics process: its directories, and per directory cross section and year."""

    none_is_default = frozenset({"redirector", "file_pattern", "tree_name"})

    name: Name = Field(description="Name of the physics process.")
    directories: Directories = Field(
        min_length=1, description="One directory per campaign or year."
    )
    cross_sections: tuple[Float, ...] = Field(
        default=(), description="Cross section in pb, one per directory or one for all."
    )
    years: tuple[Year | None, ...] = Field(
        default=(), description="Data-taking year, one per directory or one for all; None: no year."
    )
    file_pattern: str = Field(
        default="*.root", description="Files in a directory: *.root, or *.txt for listings."
    )
    tree_name: str = Field(default="Events", description="Tree that holds the events.")
    weight_branch: str | None = Field(
        default=None, description="Column of the generator weight; None: that of `general`."
    )
    redirector: Directories = Field(
        default=(), description="Prefixes of names that begin with /store/, tried in this order."
    )
    is_data: Bool = Field(default=False, description="Collision data, not simulation.")
    lumi_mask: tuple[Functor | None, ...] = Field(
        default=(), description="Selects certified sections of data, one per directory or for all."
    )

    selection: tuple[Functor | None, ...] = Field(
        default=(),
        description="The part of the events that counts, one per directory or for all, as for "
        "samples that overlap; cross section and sum of weights stay those of all.",
    )

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Give each directory its own cross section, year and lumi mask."""
        redirector = data.get("redirector", ())
        if isinstance(redirector, str | list | tuple):
            prefixes = (redirector,) if isinstance(redirector, str) else redirector
            data["redirector"] = tuple(prefix for prefix in prefixes if prefix != "")
        if data.get("cross_sections") is None and "name" in data:
            data["cross_sections"] = _default_cross_section(data)
        directories = data.get("directories")
        if isinstance(directories, str | list | tuple):
            n_directories = 1 if isinstance(directories, str) else len(directories)
            for key in PER_DIRECTORY:
                value = data.get(key)
                if not isinstance(value, list | tuple):
                    data[key] = (value,) * n_directories
                elif len(value) == 1:
                    data[key] = tuple(value) * n_directories
        return data

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        n_directories = len(self.directories)
        for key, word in PER_DIRECTORY.items():
            n_given = len(getattr(self, key))
            if n_given != n_directories:
                text = f"process {self.name!r} has {n_directories} directories but {n_given} {word}"
                raise KeyProblem(key, text)
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if not self.is_data and any(xsec <= 0 for xsec in self.cross_sections):
            text = f"process {self.name!r} needs a positive cross section in pb"
            raise KeyProblem("cross_sections", text)
        if not self.is_data and any(mask is not None for mask in self.lumi_mask):
            text = f"process {self.name!r} is simulation; collision data needs 'is_data': True"
            raise KeyProblem("lumi_mask", text)
        if twice := duplicates(self.keys()):
            raise KeyProblem(
                "directories",
                f"two directories of process {self.name!r} are the dataset {twice[0]!r}; "
                "give each its year in 'years', or directories with different last names",
            )
        return self

    def keys(self) -> tuple[str, ...]:
        """Return the dataset key of each directory, e.g. ``ttbar_2017``."""
        n_of_year = Counter(self.years)
        keys = []
        for directory, year in zip(self.directories, self.years, strict=True):
            parts = [self.name] if year is None else [self.name, year]
            if n_of_year[year] > 1:
                parts.append(PurePosixPath(directory).name)
            keys.append("_".join(parts))
        return tuple(keys)


def _default_cross_section(data: Mapping[str, Any]) -> float:
    """Return 1 pb for data and for a signal, whose strength is fitted; others must say."""
    name = str(data["name"])
    if data.get("is_data") is True or is_signal(name):
        return 1.0
    raise KeyProblem("cross_sections", f"process {name!r} has no cross section; give it in pb")


class Datasets(Model):
    """All physics processes of the analysis."""

    datasets: tuple[Dataset, ...] = Field(
        min_length=1, description="The physics processes, one entry each."
    )
    max_files: Count | None = Field(
        default=None, description="Files per dataset at most; None: all."
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if twice := duplicates(entry.name for entry in self.datasets):
            text = f"two entries are the process {twice[0]!r}; give one of them all directories"
            raise KeyProblem("datasets", text)
        if twice := duplicates(self.keys()):
            text = f"two directories are the dataset {twice[0]!r}; rename a process"
            raise KeyProblem("datasets", text)
        return self

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all datasets, in the order of the configuration."""
        return tuple(itertools.chain.from_iterable(entry.keys() for entry in self.datasets))

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the physics processes."""
        return tuple(entry.name for entry in self.datasets)

    def process(self, name: str) -> Dataset:
        """Return the entry of this process.

        Raises
        ------
        KeyError
            If there is no such process; the text names the nearest one.
        """
        for entry in self.datasets:
            if entry.name == name:
                return entry
        raise KeyError(f"no process {name!r}; {nearest(name, self.processes)}")

"""Which files belong to which physics process, year and cross section."""

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from intccms.errors import ConfigError, nearest
from intccms.schema.base import (
    Bool,
    Count,
    Float,
    FunctionSpec,
    KeyProblem,
    Model,
    Name,
    Names,
    Positive,
    Year,
    as_names,
    duplicates,
    setting,
)
from intccms.schema.older import GENERAL

Directories = Annotated[tuple[str, ...], BeforeValidator(as_names)]

PER_DIRECTORY = {
    "cross_sections": "cross_sections",
    "years": "years",
    "lumi_mask": "lumi masks",
    "selection": "selections",
}


def is_signal_name(process: str) -> bool:
    """Whether a process is a signal by its name, where nothing says what it is."""
    return process.lower().startswith(("signal", "zprime"))


class Dataset(Model):
    """A physics process: its directories, and per directory cross section and year."""

    name: Name = Field(description="Name of the physics process.")
    directories: Directories = Field(
        min_length=1, description="One directory per campaign or year."
    )
    cross_sections: tuple[Float, ...] = setting(
        (), "Cross section in pb, one per directory or one for all."
    )
    years: tuple[Year | None, ...] = setting(
        (), "Data-taking year, one per directory or one for all; None: no year."
    )
    file_pattern: str = setting("*.root", "Files in a directory: *.root, or *.txt for listings.")
    tree_name: str = setting("Events", "Tree that holds the events.")
    weight_branch: str | None = setting(
        None, "Column of the generator weight; None: that of `general`."
    )
    redirector: Directories = setting(
        (), "Prefixes of names that begin with /store/, tried in this order."
    )
    is_data: Bool = setting(False, "Collision data, not simulation.")
    is_signal: Bool | None = setting(
        None, "A signal, never a background; None: if it is called signal… or zprime…."
    )
    lumi_mask: tuple[FunctionSpec | None, ...] = setting(
        (), "Selects certified sections of data, one per directory or for all."
    )

    selection: tuple[FunctionSpec | None, ...] = setting(
        (),
        "The part of the events that counts, one per directory or for all, as for samples that "
        "overlap; cross section and sum of weights stay those of all.",
    )

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return each directory its own cross section, year and lumi mask."""
        redirector = data.get("redirector", ())
        if isinstance(redirector, str | list | tuple):
            prefixes = (redirector,) if isinstance(redirector, str) else redirector
            data["redirector"] = tuple(prefix for prefix in prefixes if prefix != "")
        if data.get("cross_sections") is None and "name" in data:
            data["cross_sections"] = _default_cross_section(data)
        if data.get("is_signal") is None:
            data["is_signal"] = is_signal_name(str(data.get("name")))
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
    name, is_signal = str(data["name"]), data.get("is_signal")
    if data.get("is_data") is True or (is_signal_name(name) if is_signal is None else is_signal):
        return 1.0
    raise KeyProblem("cross_sections", f"process {name!r} has no cross section; give it in pb")


class Datasets(Model):
    """All physics processes of the analysis."""

    datasets: tuple[Dataset, ...] = Field(
        min_length=1, description="The physics processes, one entry each."
    )
    max_files: Count | None = setting(None, "Files per dataset at most; None: all.")

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


class Metrics(Model):
    """What is measured during a run and what is made of it."""

    enable: Bool = setting(True, "Measure the run at all.")
    track_workers: Bool = setting(True, "Sample number and load of the workers.")
    worker_tracking_interval: Positive = setting(1.0, "Time between two samples, in s.")
    save_measurements: Bool = setting(True, "Keep the measurement on disk.")
    generate_plots: Bool = setting(True, "Draw the plots of the measurement.")
    generate_reports: Bool = setting(True, "Write the report of the measurement.")
    measurement_name: Name | None = setting(
        None, "Name of the measurement's directory; None: the time of the run."
    )
    target_throughput_gbps: Positive = setting(200.0, "Data rate to compare with, in Gbit/s.")


class General(Model):
    """Settings of the run as a whole."""

    older = GENERAL
    lumi: Positive | dict[Year, Positive] = Field(
        description="Integrated luminosity in 1/pb: one number, or one per year."
    )
    weight_branch: str = Field(description="Column of the generator weight, e.g. genWeight.")
    analysis: Literal["nondiff", "skip"] = setting(
        "nondiff", "nondiff: the whole analysis; skip: skim only."
    )
    executor: Literal["dask", "futures", "iterative"] = setting(
        "dask", "How chunks are run when no client and no facility is given."
    )
    facility: str | None = setting(
        None, "Where to run, by name or module:function; None: `executor`."
    )
    n_workers: Count | None = setting(None, "Number of workers; None: the default.")
    chunk_size: Count | Literal["auto"] | None = setting(
        None, "Events per chunk, or auto; None: that of `preprocess.skimming`."
    )
    run_metadata_generation: Bool = setting(
        True, "Look at the files; False: read the saved metadata."
    )
    run_skimming: Bool = setting(False, "Write skims in this run.")
    use_skimmed_input: Bool = setting(False, "Read the skims of an earlier run.")
    run_processor: Bool = setting(True, "Read events; False: go on from the saved histograms.")
    run_analysis: Bool = setting(True, "Run the analysis; False: skims only.")
    run_histogramming: Bool = setting(True, "Fill histograms; False: selections and cutflow only.")
    run_systematics: Bool = setting(True, "Evaluate variations; False: nominal only.")
    run_statistics: Bool = setting(True, "Run the fit and the limits.")
    run_plots_only: Bool = setting(False, "Redo the plots from what was saved; no event is read.")
    run_mva_training: Bool = setting(False, "Train the MVAs before the analysis.")
    read_from_cache: Bool = setting(
        True, "Reuse partial results and cached columns that are still valid."
    )
    base_dir: str | None = setting(
        None, "Directory of relative input paths; None: the working directory."
    )
    output_dir: str = setting("output/", "Where results go, relative to the working directory.")
    cache_dir: str | None = setting(
        None, "Partial results and cached columns; None: output_dir/partials."
    )
    cache_mb: Annotated[Float, Field(ge=0)] = setting(
        20_000.0, "Bound of the cached columns, in MB (1e6 bytes): the oldest go; 0: none are kept."
    )
    metadata_dir: str | None = setting(None, "Metadata of the files; None: output_dir/metadata.")
    skimmed_dir: str | None = setting(None, "Skims; None: output_dir/skimmed.")
    max_lost_fraction: Annotated[Float, Field(ge=0, le=1)] = setting(
        0.0, "Fraction of the events that a complete run may miss."
    )
    weight_clip: Positive | dict[Name, Positive] | None = setting(
        None,
        "Largest |weight| of simulation: larger ones count as this, in events and in sums of "
        "weights alike; one number, or one per process. None: as they are.",
    )
    weight_outlier_factor: Positive = setting(
        10.0, "A weight so many times above the 99.9 % quantile of its dataset is told."
    )
    chunk_timeout: Positive | None = setting(
        None,
        "Time in s after which a chunk is taken to hang; None: 50 times the median of the others, "
        "10 minutes at least.",
    )
    worker_timeout: Positive = setting(
        3600.0, "Time in s for which a run waits while it has no worker at all."
    )
    batch_memory_mb: Positive = setting(
        500.0, "Memory bound of a batch of variations, in MB (1e6 bytes)."
    )
    columns: Literal["fast", "awkward"] = setting(
        "fast",
        "What functions compute with: `fast`, arrays of awkward's whose usual operations run on "
        "NumPy; `awkward`, its own. The results are the same.",
    )
    check_functors: Bool = setting(False, "Check that the functions treat events independently.")
    check_duplicates: Bool = setting(
        False,
        "Count the events that are in the inputs more than once, by run, section and number; "
        "reads these of all events.",
    )
    processes: Names | None = setting(
        None, "Restrict the run to these processes; None: all.", min_length=1
    )
    channels: Names | None = setting(
        None, "Restrict the run to these channels; None: all.", min_length=1
    )
    metrics: Metrics = setting(Metrics(), "What is measured.")

    def path(self, name: Literal["output_dir", "cache_dir", "metadata_dir", "skimmed_dir"]) -> Path:
        """Return one of the directories that the run writes to, as an absolute path.

        A `cache_dir` that is a URL is not one of them, see `cache_url`.
        """
        output = Path.cwd() / Path(self.output_dir).expanduser()
        if name == "output_dir":
            return output
        path: str | None = getattr(self, name)
        if path is not None and "://" not in path:
            return Path.cwd() / Path(path).expanduser()
        inside = {"cache_dir": "partials", "metadata_dir": "metadata", "skimmed_dir": "skimmed"}
        return output / inside[name]

    @property
    def cache_url(self) -> str:
        """Where partial results are kept: an absolute path or any URL that fsspec knows."""
        url = self.cache_dir or ""
        return url if "://" in url else str(self.path("cache_dir"))

    def input_path(self, path: str) -> Path:
        """Return the absolute path of an input file that the configuration names."""
        base = Path.cwd() / Path(self.base_dir or ".").expanduser()
        return base / Path(path).expanduser()

    def weight_clip_for(self, process: str) -> float | None:
        """Return the largest ``|weight|`` of a process; None: there is no bound."""
        clip = self.weight_clip
        return clip.get(process) if isinstance(clip, dict) else clip

    def lumi_for(self, year: str | None) -> float:
        """Return the integrated luminosity of a year in 1/pb.

        Raises
        ------
        ConfigError
            If the luminosity is given per year and this year is not among them.
        """
        if not isinstance(self.lumi, dict):
            return self.lumi
        if year is None or year not in self.lumi:
            raise ConfigError(f"general.lumi: no year {year!r}; {nearest(str(year), self.lumi)}")
        return self.lumi[year]

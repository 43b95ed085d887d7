"""General settings: luminosity, which stages run, where things go, what is measured."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from intccms.errors import ConfigError, nearest
from intccms.schema.base import Model
from intccms.schema.kinds import Bool, Count, Float, Name, Names, Positive, Year

__all__ = ["General", "Metrics"]


class Metrics(Model):
    """What is measured during a run and what is made of it."""

    enable: Bool = Field(default=True, description="Measure the run at all.")
    track_workers: Bool = Field(default=True, description="Sample number and load of the workers.")
    worker_tracking_interval: Positive = Field(
        default=1.0, description="Time between two samples, in s."
    )
    save_measurements: Bool = Field(default=True, description="Keep the measurement on disk.")
    generate_plots: Bool = Field(default=True, description="Draw the plots of the measurement.")
    generate_reports: Bool = Field(default=True, description="Write the report of the measurement.")
    measurement_name: Name | None = Field(
        default=None, description="Name of the measurement's directory; None: the time of the run."
    )
    target_throughput_gbps: Positive = Field(
        default=200.0, description="Data rate to compare with, in Gbit/s."
    )


class General(Model):
    """Settings of the run as a whole."""

    spellings = {"save_skimmed_output": "run_skimming"}
    none_is_default = frozenset({"analysis", "executor", "output_dir", "metrics"})

    lumi: Positive | dict[Year, Positive] = Field(
        description="Integrated luminosity in 1/pb: one number, or one per year."
    )
    weight_branch: str = Field(description="Column of the generator weight, e.g. genWeight.")
    analysis: Literal["nondiff", "skip"] = Field(
        default="nondiff", description="nondiff: the whole analysis; skip: skim only."
    )
    executor: Literal["dask", "futures", "iterative"] = Field(
        default="dask", description="How chunks are run when no client and no facility is given."
    )
    facility: str | None = Field(
        default=None, description="Where to run, by name or module:function; None: `executor`."
    )
    n_workers: Count | None = Field(
        default=None, description="Number of workers; None: the default."
    )
    chunk_size: Count | Literal["auto"] | None = Field(
        default=None, description="Events per chunk, or auto; None: that of `preprocess.skimming`."
    )
    run_metadata_generation: Bool = Field(
        default=True, description="Look at the files; False: read the saved metadata."
    )
    run_skimming: Bool = Field(default=False, description="Write skims in this run.")
    use_skimmed_input: Bool = Field(default=False, description="Read the skims of an earlier run.")
    run_processor: Bool = Field(
        default=True, description="Read events; False: go on from the saved histograms."
    )
    run_analysis: Bool = Field(default=True, description="Run the analysis; False: skims only.")
    run_histogramming: Bool = Field(
        default=True, description="Fill histograms; False: selections and cutflow only."
    )
    run_systematics: Bool = Field(
        default=True, description="Evaluate variations; False: nominal only."
    )
    run_statistics: Bool = Field(default=True, description="Run the fit and the limits.")
    run_plots_only: Bool = Field(
        default=False, description="Redo the plots from what was saved; no event is read."
    )
    run_mva_training: Bool = Field(default=False, description="Train the MVAs before the analysis.")
    read_from_cache: Bool = Field(
        default=True, description="Reuse partial results and cached columns that are still valid."
    )
    base_dir: str | None = Field(
        default=None, description="Directory of relative input paths; None: the working directory."
    )
    output_dir: str = Field(
        default="output/", description="Where results go, relative to the working directory."
    )
    cache_dir: str | None = Field(
        default=None, description="Partial results and cached columns; None: output_dir/partials."
    )
    metadata_dir: str | None = Field(
        default=None, description="Metadata of the files; None: output_dir/metadata."
    )
    skimmed_dir: str | None = Field(default=None, description="Skims; None: output_dir/skimmed.")
    max_lost_fraction: Annotated[Float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Fraction of the events that a complete run may miss."
    )
    weight_clip: Positive | dict[Name, Positive] | None = Field(
        default=None,
        description="Largest |weight| of simulation: larger ones count as this, in events and in "
        "sums of weights alike; one number, or one per process. None: as they are.",
    )
    weight_outlier_factor: Positive = Field(
        default=10.0,
        description="A weight so many times above the 99.9 % quantile of its dataset is told.",
    )
    chunk_timeout: Positive | None = Field(
        default=None,
        description="Time in s after which a chunk is taken to hang; None: 50 times the median of "
        "the others, 10 minutes at least.",
    )
    worker_timeout: Positive = Field(
        default=3600.0, description="Time in s for which a run waits while it has no worker at all."
    )
    batch_memory_mb: Positive = Field(
        default=500.0, description="Memory bound of a batch of variations, in MB (1e6 bytes)."
    )
    check_functors: Bool = Field(
        default=False, description="Check that the functions treat events independently."
    )
    check_duplicates: Bool = Field(
        default=False,
        description="Count the events that are in the inputs more than once, by run, section and "
        "number; reads these of all events.",
    )
    processes: Names | None = Field(
        default=None, min_length=1, description="Restrict the run to these processes; None: all."
    )
    channels: Names | None = Field(
        default=None, min_length=1, description="Restrict the run to these channels; None: all."
    )
    metrics: Metrics = Field(default_factory=Metrics, description="What is measured.")

    def path(self, name: Literal["output_dir", "cache_dir", "metadata_dir", "skimmed_dir"]) -> Path:
        """Return one of the directories that the run writes to, as an absolute path.

        A `cache_dir` that is a URL is not one of them, see `cache_url`.
        """
        output = Path.cwd() / Path(self.output_dir).expanduser()
        if name == "output_dir":
            return output
        given: str | None = getattr(self, name)
        if given is not None and "://" not in given:
            return Path.cwd() / Path(given).expanduser()
        inside = {"cache_dir": "partials", "metadata_dir": "metadata", "skimmed_dir": "skimmed"}
        return output / inside[name]

    @property
    def cache_url(self) -> str:
        """Where partial results are kept: an absolute path or any URL that fsspec knows."""
        given = self.cache_dir or ""
        return given if "://" in given else str(self.path("cache_dir"))

    def input_path(self, path: str) -> Path:
        """Return the absolute path of an input file that the configuration names."""
        base = Path.cwd() / Path(self.base_dir or ".").expanduser()
        return base / Path(path).expanduser()

    def weight_clip_for(self, process: str) -> float | None:
        """Return the largest |weight| of a process; None: there is no bound."""
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

"""General settings: luminosity, which stages run, where things go, what is measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from intccms.errors import ConfigError, nearest
from intccms.schema.base import Model, Name, Names, Year

__all__ = ["General", "Metrics"]

PositiveInt = Annotated[StrictInt, Field(gt=0)]
PositiveFloat = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]


class Metrics(Model):
    """What is measured during a run and what is made of it."""

    enable: StrictBool = Field(default=True, description="Measure the run at all.")
    track_workers: StrictBool = Field(
        default=True, description="Sample the number and the load of the workers during the run."
    )
    worker_tracking_interval: PositiveFloat = Field(
        default=1.0, description="Time between two samples of the workers, in s."
    )
    save_measurements: StrictBool = Field(
        default=True, description="Keep receipts, worker timeline and metrics on disk."
    )
    generate_plots: StrictBool = Field(
        default=True, description="Draw the plots of the measurement after the run."
    )
    generate_reports: StrictBool = Field(
        default=True, description="Write the report of the measurement after the run."
    )
    measurement_name: Name | None = Field(
        default=None, description="Name of the measurement's directory; None: the time of the run."
    )
    target_throughput_gbps: PositiveFloat = Field(
        default=200.0, description="Data rate to compare with, in Gbit/s."
    )


class General(Model):
    """Settings of the run as a whole."""

    spellings = {"save_skimmed_output": "run_skimming"}
    none_is_default = frozenset({"analysis", "executor", "output_dir", "metrics"})

    lumi: PositiveFloat | dict[Year, PositiveFloat] = Field(
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
    n_workers: PositiveInt | None = Field(
        default=None, description="Number of workers; None: what the facility decides."
    )
    chunk_size: PositiveInt | Literal["auto"] | None = Field(
        default=None, description="Events per chunk, or auto; None: that of `preprocess.skimming`."
    )
    run_metadata_generation: StrictBool = Field(
        default=True, description="Look at the files; False: read the saved metadata."
    )
    run_skimming: StrictBool = Field(default=False, description="Write skims in this run.")
    use_skimmed_input: StrictBool = Field(
        default=False, description="Read the skims of an earlier run instead of the originals."
    )
    run_processor: StrictBool = Field(
        default=True, description="Read events; False: go on from the saved histograms."
    )
    run_analysis: StrictBool = Field(
        default=True, description="Run the analysis; False: write skims only."
    )
    run_histogramming: StrictBool = Field(
        default=True, description="Fill histograms; False: selections and cutflow only."
    )
    run_systematics: StrictBool = Field(
        default=True, description="Evaluate the variations; False: nominal only."
    )
    run_statistics: StrictBool = Field(default=True, description="Run the fit and the limits.")
    run_plots_only: StrictBool = Field(
        default=False, description="Redo the plots from what was saved; no event is read."
    )
    run_mva_training: StrictBool = Field(
        default=False, description="Train the configured MVAs before the analysis."
    )
    read_from_cache: StrictBool = Field(
        default=True, description="Reuse partial results and cached columns that are still valid."
    )
    base_dir: str | None = Field(
        default=None,
        description="Directory of relative input paths; None: the working directory.",
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
    max_lost_fraction: Annotated[StrictFloat, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Fraction of the events that may be missing before a run is incomplete.",
    )
    batch_memory_mb: PositiveFloat = Field(
        default=500.0, description="Memory bound of a slab of variations, in MB (1e6 bytes)."
    )
    check_functors: StrictBool = Field(
        default=False, description="Check that the functions treat events independently."
    )
    processes: Names | None = Field(
        default=None, description="Restrict the run to these processes; None: all."
    )
    channels: Names | None = Field(
        default=None, description="Restrict the run to these channels; None: all."
    )
    metrics: Metrics = Field(
        default_factory=Metrics, description="What is measured during the run."
    )

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Read the years of `lumi` as text."""
        if isinstance(data.get("lumi"), Mapping) and not data["lumi"]:
            raise ValueError("lumi: a luminosity per year names at least one year")
        return data

    def path(self, name: Literal["output_dir", "cache_dir", "metadata_dir", "skimmed_dir"]) -> Path:
        """Return one of the directories that the run writes to, as an absolute path."""
        inside = {
            "cache_dir": (self.cache_dir, "partials"),
            "metadata_dir": (self.metadata_dir, "metadata"),
            "skimmed_dir": (self.skimmed_dir, "skimmed"),
        }
        output = Path.cwd() / Path(self.output_dir).expanduser()
        if name == "output_dir":
            return output
        given, default = inside[name]
        return output / default if given is None else Path.cwd() / Path(given).expanduser()

    def input_path(self, path: str) -> Path:
        """Return the absolute path of an input file that the configuration names."""
        base = Path.cwd() / Path(self.base_dir or ".").expanduser()
        return base / Path(path).expanduser()

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

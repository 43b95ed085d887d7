"""What is made of the histograms: fit and limits, plots, multivariate classifiers."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Strict, model_validator

from intccms.errors import nearest
from intccms.schema.base import (
    Bool,
    Count,
    Edges,
    Float,
    KeyProblem,
    Model,
    Name,
    Names,
    Positive,
    duplicates,
    setting,
)
from intccms.schema.older import MVA
from intccms.schema.physics import Labelled


class Statistics(Model):
    """Fit, limits and what may be seen of the data."""

    cabinetry_config: str | None = setting(
        None, "cabinetry configuration; None or absent: generated and written."
    )
    signals: Names | None = setting(
        None, "Signal processes, each fitted alone; None: those called signal… or zprime…."
    )
    masses_gev: dict[str, Positive] = setting({}, "Mass in GeV of each signal process.")
    blind: dict[str, tuple[Float, Float] | None] = setting(
        {},
        "Channels whose data are hidden; a (low, high) range of the fit observable hides that "
        "range only, None the whole channel.",
    )
    allow_overlap: tuple[tuple[Name, Name], ...] = setting(
        (),
        "Pairs of fitted channels that may hold the same events, which then count twice in the "
        "fit; of others an event in common is an error.",
    )
    smoothing: Bool = setting(
        False,
        "Whether a generated cabinetry configuration smooths what object corrections do to the "
        "shape of backgrounds, where it is within the statistical error.",
    )
    pruning: Bool = setting(
        True,
        "Whether systematics below the thresholds of the cabinetry configuration (0.1 % of norm "
        "and shape) are left out of the fit.",
    )
    rebin: Positive | None = setting(
        None,
        "Effective background events (sumw squared over sumw2) that each fitted bin has at least: "
        "bins with less are merged; None: they stay, and are named.",
    )

    calculator: Literal["asymptotic", "toys", "auto"] = setting(
        "asymptotic",
        "Limits, p-values and goodness of fit from asymptotic formulas or from toys; auto: toys "
        "where few expected events make the formulas invalid.",
    )
    n_toys: Annotated[Count, Field(ge=20)] = setting(
        1000, "Toys for each hypothesis and signal strength, at least 20."
    )
    toy_seed: Annotated[int, Strict(), Field(ge=0)] = setting(
        1, "Seed of the toys; the same seed gives the same numbers."
    )

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Read channel names to be blinded as whole channels."""
        blind = data.get("blind")
        names = (blind,) if isinstance(blind, str) else blind
        if isinstance(names, list | tuple):
            data["blind"] = dict.fromkeys(names)
        return data

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for channel, limits in self.blind.items():
            if limits is not None and limits[0] >= limits[1]:
                text = f"the range's end {limits[1]:g} is not above its start {limits[0]:g}"
                raise KeyProblem(f"blind.{channel}", text)
        return self


class Plotting(Model):
    """Colours, labels and order of the processes in plots, and labels of channels."""

    process_colors: dict[str, str] = setting({}, "Colour of each process, e.g. #907AD6.")
    process_labels: dict[str, str] = setting({}, "Legend label of each process, LaTeX allowed.")
    process_order: Names = setting((), "Order in which processes are stacked; others follow.")
    channel_labels: dict[str, str] = setting({}, "Each channel in figures, LaTeX allowed.")


class Feature(Labelled):
    """One input of a classifier."""

    scale: Callable[..., Any] | None = setting(
        None, "Scales the feature before training; None: as it is."
    )
    binning: Edges | None = setting(
        None, 'Bin edges of its plot, or "low,high,nbins"; None: automatic.'
    )


class MvaClass(Model):
    """One class of a classifier: a process, or several under a common name."""

    name: Name = Field(description="Name of the class.")
    processes: Names = Field(min_length=1, description="Processes that make up the class.")


def _as_class(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value, "processes": (value,)}
    if isinstance(value, Mapping) and len(value) == 1:
        [(name, processes)] = value.items()
        return {"name": name, "processes": processes}
    return value


class Mva(Model):
    """A classifier; its score is the derived column `mva.<name>`."""

    older = MVA

    name: Name = Field(description="Name of the classifier and of its score.")
    features: tuple[Feature, ...] = Field(min_length=1, description="Inputs of the classifier.")
    classes: tuple[Annotated[MvaClass, BeforeValidator(_as_class)], ...] = Field(
        min_length=2, description='Classes to be told apart: a process, or {"merged": ("a", "b")}.'
    )
    balance_strategy: Literal["none", "undersample", "class_weight"] = setting(
        "none", "How classes of different size are balanced."
    )
    folds: Annotated[Count, Field(le=20)] = setting(
        5,
        "Number of models, each trained without one part of the events, which it then scores; 1: "
        "one model, which scores its own training events, too.",
    )
    validation_split: Annotated[Float, Field(gt=0, lt=1)] = setting(
        0.2, "Fraction of the events kept for validation by a single model (folds: 1)."
    )
    random_state: Annotated[int, Strict()] = setting(42, "Seed of split and training.")
    epochs: Count | None = setting(
        None, "Passes over the training events; None: the estimator's own."
    )
    batch_size: Count | None = setting(None, "Events per training step; None: the estimator's own.")
    learning_rate: Positive | None = setting(
        None, "Step size of the training; None: the estimator's own."
    )
    plot_classes: Names = setting(
        (), "Classes or processes shown in the plots; empty: all classes."
    )
    estimator: Callable[[], Any] = Field(
        description="Returns a scikit-learn classifier; called without arguments."
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if twice := duplicates(feature.name for feature in self.features):
            raise KeyProblem("features", f"two of them are called {twice[0]!r}")
        names = [entry.name for entry in self.classes]
        if twice := duplicates(names):
            raise KeyProblem("classes", f"two of them are called {twice[0]!r}")
        return self

    def check_processes(self, processes: tuple[str, ...]) -> None:
        """Raise `KeyProblem` if a class or a plot names an unknown process."""
        for entry in self.classes:
            for process in entry.processes:
                if process not in processes:
                    hint = nearest(process, processes)
                    text = f"class {entry.name!r} has no process {process!r}; {hint}"
                    raise KeyProblem("classes", text)
        shown = {*processes, *(entry.name for entry in self.classes)}
        for name in self.plot_classes:
            if name not in shown:
                raise KeyProblem("plot_classes", f"no class {name!r}; {nearest(name, shown)}")

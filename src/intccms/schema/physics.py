"""What is selected and histogrammed: object masks, derived columns, channels, observables."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Strict, model_validator

from intccms.errors import nearest
from intccms.schema.base import (
    Bool,
    Count,
    Edges,
    FunctionSpec,
    KeyProblem,
    Model,
    Name,
    Names,
    Parameters,
    Refs,
    duplicates,
    setting,
)
from intccms.schema.older import CHANNEL


class ObjectMask(FunctionSpec):
    """The mask of the good objects of one collection."""

    object: str = Field(description="Collection that the mask applies to, e.g. Muon.")


class ObjectMasks(Model):
    """The good objects of the analysis and of the MVAs."""

    analysis: tuple[ObjectMask, ...] = setting(
        (), "Masks for everything but MVA features, applied in this order."
    )
    mva: tuple[ObjectMask, ...] = setting(
        (), "Masks for MVA features and their derived columns; empty: those of analysis."
    )


class DerivedColumn(FunctionSpec):
    """Derived columns, made once per variation and attached to collections."""

    names: Names = Field(description="Names of the columns, in the order of what is returned.")
    collections: Names = Field(
        description="Collection of each column; one string holds for all of them."
    )

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return each name its collection when one collection is named for all."""
        names, collections = data.get("names"), data.get("collections")
        if isinstance(names, str):
            data["names"] = names = (names,)
        if isinstance(collections, str) and isinstance(names, list | tuple):
            data["collections"] = (collections,) * len(names)
        return data

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.names) != len(self.collections):
            raise ValueError(
                f"{len(self.names)} names but {len(self.collections)} collections: "
                f"{list(self.names)} and {list(self.collections)}"
            )
        return self


class Labelled(FunctionSpec):
    """A quantity with a name and an axis label."""

    name: Name = Field(description="Name of the quantity, unique where it stands.")
    label: str = setting("", "Axis label, LaTeX allowed; none: the name.")

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Label the quantity by its name when no label is given."""
        if data.get("label") in (None, "") and isinstance(data.get("name"), str):
            data["label"] = data["name"]
        return data


class Observable(Labelled):
    """A histogrammed quantity."""

    binning: Edges = Field(
        description='Bin edges: a list that increases, or "low,high,nbins" for equal bins.'
    )
    flow: Literal["fold", "drop"] | None = setting(
        None,
        "Events below the first edge and from the last one on: fold adds them to the first and "
        "the last bin, drop leaves them out of fit and figures; None: fold in the fit_observable "
        "of a channel, else drop.",
    )


class Channel(Model):
    """An event selection and what is histogrammed in it."""

    older = CHANNEL
    name: Name = Field(description="Name of the channel, unique.")
    observables: tuple[Observable, ...] = setting((), "What is histogrammed in this channel.")
    fit_observable: str | None = setting(
        None, "The observable that is fitted; None: the channel is not fitted."
    )
    selection: FunctionSpec | None = setting(None, "Selects the events of the channel; None: all.")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [observable.name for observable in self.observables]
        if twice := duplicates(names):
            text = f"two observables of channel {self.name!r} are called {twice[0]!r}"
            raise KeyProblem("observables", text)
        if self.fit_observable is not None and self.fit_observable not in names:
            hint = nearest(self.fit_observable, names)
            raise KeyProblem(
                "fit_observable",
                f"{self.fit_observable!r} is not an observable of channel {self.name!r}; {hint}",
            )
        return self


def _off(value: Any) -> Any:
    return "off" if value is False else value  # YAML reads a bare `off` as False


class SkimOutput(Model):
    """Format and place of a skim."""

    format: Literal["parquet", "ttree", "rntuple"] = setting("parquet", "File format of the skim.")
    output_dir: str | None = setting(
        None, "Local path, s3:// or root:// URL; None: the run's directory for skims."
    )
    to_kwargs: dict[str, Any] = setting({}, "Keyword arguments of the writer.")
    from_kwargs: dict[str, Any] = setting({}, "Keyword arguments of the reader.")


class Skimming(Model):
    """The skim selection, and how chunks are made, retried and written."""

    function: Callable[..., Any] | None = setting(
        None, "The skim selection on uncorrected columns; None: keep all."
    )
    use: Refs = setting((), "References to event data, in call order.")
    static_kwargs: Parameters = setting(
        {}, "Keyword arguments that do not depend on the events; the others have their defaults."
    )
    chunk_size: Count = setting(100_000, "Events per chunk.")
    tree_name: str = setting("Events", "Tree of the skim that is written.")
    max_retries: Annotated[int, Strict(), Field(ge=0)] = setting(
        3, "Tries after the first, for every stage."
    )
    verify: Annotated[Literal["count", "full", "off"], BeforeValidator(_off)] = setting(
        "count", "What is checked after a part was written."
    )
    target_part_size: Count | None = setting(
        None, "Kept events per part, for which chunks of a file are put together; None: no."
    )
    output: SkimOutput = setting(SkimOutput(), "Format and place of the skim.")

    @property
    def selection(self) -> FunctionSpec | None:
        """The skim selection as a function spec, or None when every event is kept."""
        if self.function is None:
            return None
        return FunctionSpec.model_construct(  # whose parts are validated
            function=self.function, use=self.use, static_kwargs=self.static_kwargs
        )


class Preprocess(Model):
    """Columns that a skim keeps and the skim itself."""

    branches: dict[str, Names] = setting(
        {}, 'Columns kept in a skim, per collection; "event" holds top-level columns.'
    )
    mc_branches: dict[str, Names] = setting({}, "The part of `branches` that only simulation has.")
    ignore_missing: Bool = setting(
        False, "Skip a branch that a file lacks; False: an error names it."
    )
    skimming: Skimming = setting(Skimming(), "The skim itself.")

    @model_validator(mode="after")
    def _check_branches(self) -> Self:
        for key, table in (("branches", self.branches), ("mc_branches", self.mc_branches)):
            for collection, fields in table.items():
                if twice := duplicates(fields):
                    raise KeyProblem(f"{key}.{collection}", f"{twice[0]!r} is named twice")
        for collection, fields in self.mc_branches.items():
            _check_subset(collection, fields, self.branches)
        return self


def _check_subset(
    collection: str, fields: tuple[str, ...], branches: Mapping[str, tuple[str, ...]]
) -> None:
    if collection not in branches:
        hint = nearest(collection, branches)
        raise KeyProblem("mc_branches", f"no collection {collection!r} in branches; {hint}")
    for field in fields:
        if field not in branches[collection]:
            hint = nearest(field, branches[collection])
            raise KeyProblem(f"mc_branches.{collection}", f"{field!r} is not in branches; {hint}")

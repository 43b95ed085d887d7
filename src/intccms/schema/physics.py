"""What is selected and histogrammed: object masks, derived columns, channels, observables."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from intccms.errors import nearest
from intccms.schema.base import Functor, KeyProblem, Model, duplicates
from intccms.schema.kinds import Edges, Name, Names

__all__ = ["Channel", "GhostObservable", "Labelled", "ObjectMask", "ObjectMasks", "Observable"]


class ObjectMask(Functor):
    """The mask of the good objects of one collection."""

    object: str = Field(description="Collection that the mask applies to, e.g. Muon.")


class ObjectMasks(Model):
    """The good objects of the analysis and of the MVAs."""

    none_is_default = frozenset({"analysis", "mva"})

    analysis: tuple[ObjectMask, ...] = Field(
        default=(), description="Masks for everything but MVA features, applied in this order."
    )
    mva: tuple[ObjectMask, ...] = Field(
        default=(), description="Masks for MVA features and their ghosts; empty: those of analysis."
    )


class GhostObservable(Functor):
    """Derived columns, made once per variation and attached to collections."""

    names: Names = Field(description="Names of the columns, in the order of what is returned.")
    collections: Names = Field(
        description="Collection of each column; one string holds for all of them."
    )

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Give each name its collection when one collection is named for all."""
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


class Labelled(Functor):
    """A quantity with a name and an axis label."""

    name: Name = Field(description="Name of the quantity, unique where it stands.")
    label: str = Field(default="", description="Axis label, LaTeX allowed; none: the name.")

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
    flow: Literal["fold", "drop"] | None = Field(
        default=None,
        description="Events below the first edge and from the last one on: fold adds them to the "
        "first and the last bin, drop leaves them out of fit and figures; None: fold in the "
        "fit_observable of a channel, else drop.",
    )


class Channel(Model):
    """An event selection and what is histogrammed in it."""

    ignored = frozenset({"use_in_diff"})
    none_is_default = frozenset({"observables"})

    name: Name = Field(description="Name of the channel, unique.")
    observables: tuple[Observable, ...] = Field(
        default=(), description="What is histogrammed in this channel."
    )
    fit_observable: str | None = Field(
        default=None, description="The observable that is fitted; None: the channel is not fitted."
    )
    selection: Functor | None = Field(
        default=None, description="Selects the events of the channel; None: all."
    )

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

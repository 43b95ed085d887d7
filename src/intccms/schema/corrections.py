"""What is applied to events beside the selection, and what is uncertain about it."""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from intccms.schema.base import (
    Args,
    Bool,
    KeyProblem,
    Model,
    Name,
    Names,
    ObjVar,
    Ref,
    Refs,
    Sys,
    Years,
    setting,
)
from intccms.schema.older import CORRECTION

Direction = Literal["up", "down"]
Function = Callable[..., Any]
_ALL_CHANNELS = "objects are the same in all channels; only weights can differ"
OBJECT_ONLY = ("target", "propagate_to", "propagate_share", "resort")


class Scope(Model):
    """For which events something holds."""

    processes: Names | None = setting(None, "Processes it concerns; None: all.")
    datasets: Names | None = setting(
        None, "Datasets it concerns, by key (`ttbar_2017`); None: all."
    )
    years: Years | None = setting(None, "Years it concerns; None: all.")
    channels: Names | None = setting(
        None, "Channels in which a weight is applied or varied; None: all."
    )

    def concerns(self, process: str, dataset: str | None, year: str | None) -> bool:
        """Return whether it holds for the events of a dataset."""
        asked = ((self.processes, process), (self.datasets, dataset), (self.years, year))
        return all(names is None or name in names for names, name in asked)

    def is_in(self, channel: str | None) -> bool:
        """Return whether it holds in a channel; None: in each."""
        return self.channels is None or channel in self.channels


class UncertaintySource(Scope):
    """One nuisance of a correction; its variations are `<name>_up` and `<name>_down`."""

    name: Name = Field(description="Name of the nuisance parameter; equal names are one.")
    up_and_down_idx: tuple[str, str] = setting(
        ("up", "down"), "What stands for Sys(), for up and for down."
    )
    up_function: Function | None = setting(None, "Gives the up variation.")
    down_function: Function | None = setting(None, "Gives the down variation.")
    args: Args | None = setting(None, "Own inputs; None: those of its correction.")
    is_delta: Bool = setting(
        False,
        "True: applied on top of the nominal correction; False: instead of it. With an own `key`, "
        "no functions and no Sys() in the args, the value is a relative uncertainty: the factor "
        "is 1 + value for up and 1 - value for down.",
    )
    key: str | None = setting(None, "Own key in the file; None: its correction's.")
    transform_in: Function | None = setting(
        None, "Changes the inputs first; None: as its correction does."
    )
    transform_out: Function | None = setting(
        None, "Changes the result; None: as its correction does."
    )
    varies_with: Names = setting(
        (), "Object sources with which this weight moves instead of on its own."
    )
    symmetrise: Bool = setting(False, "Mirror the given side if the other is missing.")

    normalise: Bool = setting(
        False,
        "Divide the variation by its own sum of weights over all events before any cut, so that "
        "it changes no rate.",
    )
    members: Literal["scale", "pdf", "isr", "fsr"] | None = setting(
        None,
        "The source is made of the weights in the branch that its args name: envelope of the "
        "scales, parton densities as their set says, or a side of the parton shower; combined bin "
        "by bin. None: functions or a file give up and down.",
    )
    lha_id: int | None = setting(
        None,
        "LHAPDF id of member 0 of the parton densities, for branches whose title does not say it.",
    )

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name == "nominal":
            raise KeyProblem("name", "no uncertainty source is called 'nominal'")
        if self.lha_id is not None and self.members != "pdf":
            raise KeyProblem("lha_id", "this is for 'members': 'pdf' only")
        return self

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The sides that exist; a one-sided function gets its mirror only when asked to."""
        if self.symmetrise or (self.up_function is None) == (self.down_function is None):
            return ("up", "down")
        return ("up",) if self.up_function else ("down",)

    @property
    def has_function(self) -> bool:
        """Whether the source brings a function of its own."""
        return self.up_function is not None or self.down_function is not None


class Correction(Scope):
    """A factor on the event weight (`event`) or a change of a column (`object`).

    Entries of `systematics` have sources of uncertainty only and do nothing nominally.
    """

    older = CORRECTION
    name: Name = Field(description="Name of the correction.")
    type: Literal["event", "object"] = Field(
        description="event: multiplies the event weight; object: changes a column."
    )
    args: Args = setting((), "Inputs of the evaluator, in order: references, one Sys(), literals.")
    op: Literal["mult", "add", "subtract"] = setting(
        "mult", "How the result is applied to the weight or the column."
    )
    file: str | None = setting(None, "correctionlib JSON, plain or gz.")
    key: str | None = setting(None, "Name of the correction in the file.")
    use_correctionlib: Bool = setting(
        True, "Evaluate `file` and `key`; False: call `nominal_function`."
    )
    nominal_function: Function | None = setting(None, "Gives the nominal correction.")
    transform_in: Function | None = setting(None, "Changes the inputs first.")
    transform_out: Function | None = setting(
        None, "Changes the result; called with it and the original inputs."
    )
    reduce: Literal["prod", "sum"] | None = setting(
        None, "Makes one number per event from one per object."
    )
    nominal_idx: str = setting("nominal", "What stands for Sys() nominally.")
    target: Refs = setting(
        (),
        "Columns that are changed: by the same factor, or each by its own where a function "
        "returns a tuple of them.",
    )
    applies_to: Literal["mc", "data", "both"] = setting("mc", "Events it concerns.")
    propagate_to: Name | None = setting(
        None, "Collection into which changes of pt are carried, e.g. PuppiMET."
    )
    propagate_share: Ref | None = setting(
        None,
        "Column with the share of each object's change that is carried, such as 0 for jets below "
        "the threshold of the type-1 correction; None: all of it.",
    )
    resort: Bool = setting(False, "Sort the changed collection by pt again.")
    uncertainty_sources: tuple[UncertaintySource, ...] = setting(
        (), "What is uncertain about the correction."
    )

    @property
    def has_nominal(self) -> bool:
        """Whether anything is applied nominally (not so for `systematics`)."""
        evaluates = self.use_correctionlib and self.key is not None
        return evaluates or self.nominal_function is not None

    def args_of(self, source: UncertaintySource | None) -> Args:
        """Return the inputs of a source, or without one of the nominal correction."""
        return self.args if source is None or source.args is None else source.args

    @property
    def momenta(self) -> tuple[ObjVar, ...]:
        """The targets that are a ``pt``."""
        return tuple(ref for ref in self.target if ref.field == "pt")

    @model_validator(mode="after")
    def _check_evaluation(self) -> Self:
        sources = self.uncertainty_sources
        if self.use_correctionlib and self.nominal_function is not None:
            text = "it is called only with 'use_correctionlib': False"
            raise KeyProblem("nominal_function", text)
        if self.use_correctionlib and self.file is None:
            raise KeyProblem(
                "file",
                "give 'file' and 'key' (correctionlib), a 'nominal_function', or functions for "
                "up and down",
            )
        has_own = all(source.key or source.has_function for source in sources)
        if self.use_correctionlib and self.key is None and not (sources and has_own):
            raise KeyProblem("key", f"which correction of {self.file!r} is to be applied?")
        if not self.has_nominal and not sources:
            raise ValueError("neither a nominal correction nor an uncertainty source is given")
        return self

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if self.type == "object" and not self.target:
            raise KeyProblem("target", 'an object correction needs one, e.g. ("Jet", "pt")')
        for ref in self.target:
            if ref.field is None:
                raise KeyProblem("target", f"{ref.obj!r} without a column cannot be changed")
        for key in OBJECT_ONLY:
            if self.type == "event" and getattr(self, key):
                raise KeyProblem(key, "this is for object corrections only")
            if key != "target" and getattr(self, key) and not self.momenta:
                raise KeyProblem(key, "the correction changes no pt")
        if self.propagate_to in {ref.obj for ref in self.momenta}:
            raise KeyProblem("propagate_to", "it is the corrected collection itself")
        share = self.propagate_share
        if share is not None and self.propagate_to is None:
            raise KeyProblem("propagate_share", "of what? There is no 'propagate_to'")
        if share is not None and (not share.field or {share.obj} != {t.obj for t in self.momenta}):
            text = "a column of the collection whose pt is changed, and of no other"
            raise KeyProblem("propagate_share", text)
        return self

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if self.type == "object" and self.channels is not None:
            raise KeyProblem("channels", _ALL_CHANNELS)
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for source in self.uncertainty_sources:
            where = f"uncertainty_sources.{source.name}"
            has_sys = any(isinstance(arg, Sys) for arg in self.args_of(source))
            if source.key is not None and self.file is None:
                raise KeyProblem(f"{where}.key", "the correction has no 'file' to look it up in")
            if source.varies_with and self.type == "object":
                text = "only a weight can move with an object source"
                raise KeyProblem(f"{where}.varies_with", text)
            self._check_weights(source, where)
            varies = source.has_function or source.key is not None or has_sys
            if not (varies or source.members):
                text = "nothing varies: give functions, an own 'key' or a Sys() in the args"
                raise KeyProblem(where, text)
        return self

    def _check_weights(self, source: UncertaintySource, where: str) -> None:
        """Check what is for weights of events only."""
        if source.channels is not None and self.type == "object":
            raise KeyProblem(f"{where}.channels", _ALL_CHANNELS)
        limited = self.channels is not None or source.channels is not None
        if limited and source.normalise and source.members is None:
            text = "it holds in some channels only, its sum of weights would not"
            raise KeyProblem(f"{where}.normalise", text)
        if source.normalise and (self.type == "object" or source.varies_with):
            text = "only a weight that varies on its own can be normalised"
            raise KeyProblem(f"{where}.normalise", text)
        if source.members is None:
            return
        args = self.args_of(source)
        own = (source.has_function, source.key, source.varies_with, source.symmetrise)
        if self.type == "object" or self.op != "mult":
            raise KeyProblem(f"{where}.members", "they multiply the event weight, nothing else")
        if any(own) or len(args) != 1 or not isinstance(args[0], ObjVar):
            text = "they need one branch in the args, and no function, key or other source"
            raise KeyProblem(f"{where}.members", text)

"""What is applied to simulated events, and what is uncertain about it."""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from intccms.schema.base import Args, Model, Name, Names, Refs, Sys, as_refs

__all__ = ["Correction", "Systematic", "UncertaintySource"]

Function = Callable[..., Any]
Operation = Literal["mult", "add", "subtract"]
UpDown = tuple[str, str]


def _check_source_name(name: str) -> str:
    if name == "nominal":
        raise ValueError("no uncertainty source is called 'nominal'")
    return name


class UncertaintySource(Model):
    """One nuisance of a correction; its variations are `<name>_up` and `<name>_down`."""

    none_is_default = frozenset({"up_and_down_idx", "varies_with"})

    name: Name = Field(description="Name of the nuisance parameter; equal names are one.")
    up_and_down_idx: UpDown = Field(
        default=("up", "down"), description="What Sys() is replaced by, for up and for down."
    )
    up_function: Function | None = Field(
        default=None, description="Gives the up variation instead of the evaluator."
    )
    down_function: Function | None = Field(
        default=None, description="Gives the down variation instead of the evaluator."
    )
    args: Args | None = Field(
        default=None, description="Inputs of this source; None: those of its correction."
    )
    is_delta: StrictBool = Field(
        default=False,
        description="True: applied on top of the nominal correction; False: instead of it. With "
        "an own `key`, no functions and no Sys() in the args, the value is a relative "
        "uncertainty: the factor is 1 + value for up and 1 - value for down.",
    )
    key: str | None = Field(
        default=None, description="Own key in the correction's file; None: the correction's."
    )
    transform_in: Function | None = Field(
        default=None, description="Changes the inputs first; None: as its correction does."
    )
    transform_out: Function | None = Field(
        default=None, description="Changes the result; None: as its correction does."
    )
    processes: Names | None = Field(
        default=None, description="Processes that the source concerns; None: all."
    )
    varies_with: Names = Field(
        default=(),
        description="Object sources with which this weight moves; it has no own variation then.",
    )
    symmetrise: StrictBool = Field(
        default=False, description="Mirror the given side about the nominal if one is missing."
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return _check_source_name(name)

    @property
    def has_function(self) -> bool:
        """Whether the source brings a function of its own."""
        return self.up_function is not None or self.down_function is not None


class Correction(Model):
    """A factor on the event weight (`event`) or a change of a column (`object`)."""

    spellings = {"transform": "transform_in"}
    ignored = frozenset({"use_in_diff"})
    none_is_default = frozenset(
        {"op", "target", "args", "uncertainty_sources", "use_correctionlib", "nominal_idx"}
    )

    name: Name = Field(description="Name of the correction.")
    type: Literal["event", "object"] = Field(
        description="event: multiplies the event weight; object: changes a column."
    )
    args: Args = Field(
        default=(),
        description="Inputs of the evaluator, in order: references, one Sys(), literals.",
    )
    op: Operation = Field(
        default="mult", description="How the result is applied to the weight or the column."
    )
    file: str | None = Field(default=None, description="correctionlib JSON, plain or gz.")
    key: str | None = Field(default=None, description="Name of the correction in the file.")
    use_correctionlib: StrictBool = Field(
        default=True, description="Evaluate `file` and `key`; False: call `nominal_function`."
    )
    nominal_function: Function | None = Field(
        default=None, description="Gives the nominal correction from the args."
    )
    transform_in: Function | None = Field(
        default=None, description="Changes the input arrays before the evaluation."
    )
    transform_out: Function | None = Field(
        default=None, description="Changes the result; called with it and the original inputs."
    )
    reduce: Literal["prod", "sum"] | None = Field(
        default=None, description="Makes one number per event from one per object."
    )
    nominal_idx: str = Field(
        default="nominal", description="What Sys() is replaced by for the nominal correction."
    )
    target: Refs = Field(
        default=(), description="Columns that an object correction changes by the same factor."
    )
    applies_to: Literal["mc", "data", "both"] = Field(
        default="mc", description="Events that the correction concerns."
    )
    propagate_to: str | None = Field(
        default=None, description="Collection into which the change is carried, e.g. PuppiMET."
    )
    resort: StrictBool = Field(
        default=False, description="Sort the changed collection by pt again, highest first."
    )
    symmetrise: StrictBool = Field(
        default=False, description="Mirror one-sided sources of this correction about the nominal."
    )
    uncertainty_sources: tuple[UncertaintySource, ...] = Field(
        default=(), description="What is uncertain about the correction."
    )

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        """Return every key of both spellings."""
        return (*super().known_keys(), "use", "up_and_down_idx")

    @classmethod
    def prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Read the older spelling: `use`, and `up_and_down_idx` on the correction itself."""
        data.setdefault("use_correctionlib", data.get("nominal_function") is None)
        is_old = bool({"use", "transform"} & data.keys()) and data["use_correctionlib"]
        has_indices = "up_and_down_idx" in data
        indices = data.pop("up_and_down_idx", ("up", "down"))
        if "use" in data:
            if "args" in data:
                raise ValueError("give the inputs as 'args' or (older spelling) 'use', not both")
            refs = as_refs(data.pop("use"))
            data["args"] = (*refs, Sys()) if is_old or has_indices else refs
        if (is_old or has_indices) and indices is not None and not data.get("uncertainty_sources"):
            source = {"name": data.get("name"), "up_and_down_idx": indices}
            data["uncertainty_sources"] = (source,)
        return data

    @property
    def has_nominal(self) -> bool:
        """Whether anything is applied nominally (not so for `systematics`)."""
        return self.nominal_function is not None or (
            self.use_correctionlib and self.key is not None
        )

    @model_validator(mode="after")
    def _check_evaluation(self) -> Self:
        if self.use_correctionlib:
            if self.nominal_function is not None:
                raise ValueError(
                    "'nominal_function' is called only with 'use_correctionlib': False"
                )
            if self.file is None:
                raise ValueError(
                    "a correction needs 'file' and 'key' (correctionlib) or 'nominal_function'"
                )
            if self.key is None and not all(
                source.key or source.has_function for source in self.uncertainty_sources
            ):
                raise ValueError(f"'key' is missing: which correction of {self.file!r} is it?")
        if not self.has_nominal and not self.uncertainty_sources:
            raise ValueError("neither a nominal correction nor an uncertainty source is given")
        for source in self.uncertainty_sources:
            self._check_source(source)
        return self

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if self.type == "object" and not self.target:
            raise ValueError('an object correction needs a \'target\' such as ("Jet", "pt")')
        for ref in self.target:
            if ref.field is None:
                raise ValueError(f"'target' {ref.obj!r} names no column")
        if self.type == "event":
            given = {
                "target": bool(self.target),
                "propagate_to": self.propagate_to is not None,
                "resort": self.resort,
            }
            for key, is_given in given.items():
                if is_given:
                    raise ValueError(f"{key!r} is for object corrections only")
        return self

    def _check_source(self, source: UncertaintySource) -> None:
        where = f"uncertainty source {source.name!r}"
        if source.key is not None and self.file is None:
            raise ValueError(f"{where} has a 'key', but its correction has no 'file'")
        if source.varies_with and self.type == "object":
            raise ValueError(f"{where} of an object correction cannot have 'varies_with'")
        args = self.args if source.args is None else source.args
        has_sys = any(isinstance(arg, Sys) for arg in args)
        if not (source.has_function or source.key is not None or has_sys):
            raise ValueError(
                f"{where} changes nothing: give functions, an own 'key' or a Sys() in the args"
            )


class Systematic(Model):
    """A variation without a nominal correction, as older configurations list them."""

    ignored = frozenset({"use_in_diff"})
    none_is_default = frozenset({"op", "target", "use"})

    name: Name = Field(description="Name of the nuisance parameter.")
    type: Literal["event", "object"] = Field(
        description="event: multiplies the event weight; object: changes a column."
    )
    target: Refs = Field(default=(), description="Columns that an object systematic changes.")
    use: Refs = Field(default=(), description="References that the functions get, in order.")
    op: Operation = Field(
        default="mult", description="How the result is applied to the weight or the column."
    )
    up_function: Function | None = Field(default=None, description="Gives the up variation.")
    down_function: Function | None = Field(default=None, description="Gives the down variation.")
    transform: Function | None = Field(
        default=None, description="Changes the input arrays before the functions see them."
    )
    symmetrise: StrictBool = Field(
        default=False, description="Mirror the given side about the nominal if one is missing."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.up_function is None and self.down_function is None:
            raise ValueError("a systematic needs 'up_function', 'down_function' or both")
        self.as_correction()
        return self

    def as_correction(self) -> Correction:
        """Return the same variation as a correction that does nothing nominally."""
        source = {
            "name": self.name,
            "up_function": self.up_function,
            "down_function": self.down_function,
            "is_delta": True,
            "symmetrise": self.symmetrise,
        }
        return Correction.model_validate(
            {
                "name": self.name,
                "type": self.type,
                "target": self.target,
                "args": self.use,
                "op": self.op,
                "use_correctionlib": False,
                "transform_in": self.transform,
                "uncertainty_sources": (source,),
            }
        )

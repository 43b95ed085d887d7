"""What a skim keeps, how it is written, and how chunks are cut and retried."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Strict, model_validator

from intccms.errors import nearest
from intccms.schema.base import Functor, KeyProblem, Model, duplicates
from intccms.schema.kinds import Bool, Count, Names, Refs

__all__ = ["Preprocess", "SkimOutput", "Skimming"]


def _off(value: Any) -> Any:
    return "off" if value is False else value  # YAML reads a bare `off` as False


class SkimOutput(Model):
    """Format and place of a skim."""

    none_is_default = frozenset({"format", "to_kwargs", "from_kwargs"})

    format: Literal["parquet", "ttree", "rntuple"] = Field(
        default="parquet", description="File format of the skim."
    )
    output_dir: str | None = Field(
        default=None,
        description="Local path, s3:// or root:// URL; None: the run's directory for skims.",
    )
    to_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the writer."
    )
    from_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the reader."
    )


class Skimming(Model):
    """The skim selection, and how chunks are made, retried and written."""

    none_is_default = frozenset({"use", "static_kwargs", "output"})

    function: Callable[..., Any] | None = Field(
        default=None, description="The skim selection on uncorrected columns; None: keep all."
    )
    use: Refs = Field(default=(), description="References to event data, in call order.")
    static_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments that do not depend on the events."
    )
    chunk_size: Count = Field(default=100_000, description="Events per chunk.")
    tree_name: str = Field(default="Events", description="Tree of the skim that is written.")
    max_retries: Annotated[int, Strict(), Field(ge=0)] = Field(
        default=3, description="Tries after the first, for every stage."
    )
    verify: Annotated[Literal["count", "full", "off"], BeforeValidator(_off)] = Field(
        default="count", description="What is checked after a part was written."
    )
    target_part_size: Count | None = Field(
        default=None,
        description="Kept events per part, for which chunks of a file are put together; None: no.",
    )
    output: SkimOutput = Field(
        default_factory=SkimOutput, description="Format and place of the skim."
    )

    @property
    def selection(self) -> Functor | None:
        """The skim selection as a functor, or None when every event is kept."""
        if self.function is None:
            return None
        return Functor(function=self.function, use=self.use, static_kwargs=self.static_kwargs)


class Preprocess(Model):
    """Columns that a skim keeps and the skim itself."""

    none_is_default = frozenset({"branches", "mc_branches", "skimming"})

    branches: dict[str, Names] = Field(
        default_factory=dict,
        description='Columns kept in a skim, per collection; "event" holds top-level columns.',
    )
    mc_branches: dict[str, Names] = Field(
        default_factory=dict, description="The part of `branches` that only simulation has."
    )
    ignore_missing: Bool = Field(
        default=False, description="Skip a branch that a file lacks; False: an error names it."
    )
    skimming: Skimming = Field(default_factory=Skimming, description="The skim itself.")

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

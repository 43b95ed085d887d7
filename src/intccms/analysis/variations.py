"""Which variations a dataset has, what each changes, and in which order; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from intccms.schema import Config, Correction, ObjVar, UncertaintySource

__all__ = ["Direction", "Shift", "VariationPlan", "WeightVariation", "plan_variations"]

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True, slots=True)
class Shift:
    """A variation that moves objects: everything from the object corrections on sees it.

    Parameters
    ----------
    correction
        Position of its correction in `VariationPlan.corrections`.
    source
        Position of its source in that correction.
    """

    label: str
    correction: int
    source: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class WeightVariation:
    """A variation of one event weight; positions as in `Shift`."""

    label: str
    correction: int
    source: int
    direction: Direction


@dataclass(frozen=True)
class VariationPlan:
    """Corrections and variations of one dataset, in the order in which they are applied."""

    corrections: tuple[Correction, ...]
    shifts: tuple[Shift, ...]
    weights: tuple[WeightVariation, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels on the variation axis; the nominal is first."""
        weights = (variation.label for variation in self.weights)
        return ("nominal", *weights, *(shift.label for shift in self.shifts))

    def touched(self, shift: Shift) -> frozenset[ObjVar]:
        """Return the columns that differ from the nominal ones in `shift`.

        A later object correction that reads a changed column changes its own target too.
        """
        changed = set(self.corrections[shift.correction].target)
        for correction in self.corrections[shift.correction + 1 :]:
            if correction.type == "object" and _reads(correction, changed):
                changed.update(correction.target)
        return frozenset(changed)

    def touched_by_any(self) -> frozenset[ObjVar]:
        """Return the columns that at least one shift changes."""
        return frozenset().union(*(self.touched(shift) for shift in self.shifts))

    def companion(self, source: UncertaintySource, shift: Shift | None) -> Direction | None:
        """Say in which direction a weight moves together with `shift` (``varies_with``)."""
        if shift is None:
            return None
        moved = self.corrections[shift.correction].uncertainty_sources[shift.source].name
        return shift.direction if moved in source.varies_with else None


def _reads(correction: Correction, changed: set[ObjVar]) -> bool:
    refs = [arg for arg in correction.args if isinstance(arg, ObjVar)]
    return any(overlaps(ref, other) for ref in (*refs, *correction.target) for other in changed)


def overlaps(ref: ObjVar, other: ObjVar) -> bool:
    """Say whether two references share a column; a whole collection has all its fields."""
    return ref.obj == other.obj and (None in (ref.field, other.field) or ref.field == other.field)


def plan_variations(
    config: Config, process: str, *, year: str | None, is_data: bool
) -> VariationPlan:
    """Collect what applies to the events of one dataset.

    Parameters
    ----------
    config
        Its `general.run_systematics` switches all variations off.
    process, year, is_data
        Of the dataset. Data has no variation.
    """
    kind = "data" if is_data else "mc"
    corrections = tuple(
        correction
        for correction in config.corrections_for(year)
        if correction.applies_to in (kind, "both")
    )
    shifts: list[Shift] = []
    weights: list[WeightVariation] = []
    wanted = config.general.run_systematics and not is_data
    for i, correction in enumerate(corrections if wanted else ()):
        for j, source in enumerate(correction.uncertainty_sources):
            if source.varies_with or (source.processes and process not in source.processes):
                continue
            for direction in _directions(source):
                label = f"{source.name}_{direction}"
                if correction.type == "object":
                    shifts.append(Shift(label, i, j, direction))
                else:
                    weights.append(WeightVariation(label, i, j, direction))
    return VariationPlan(corrections, tuple(shifts), tuple(weights))


def _directions(source: UncertaintySource) -> tuple[Direction, ...]:
    """Return the sides that exist; a one-sided function gets its mirror only when asked to."""
    if source.symmetrise or (source.up_function is None) == (source.down_function is None):
        return DIRECTIONS
    return ("up",) if source.up_function else ("down",)

"""Which variations a dataset has, what each changes, and in which order; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from intccms.engine.objects import overlaps
from intccms.schema import Config, Correction, ObjVar, UncertaintySource

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True, slots=True)
class Variation:
    """A shift, which moves objects and all that follows from them, or another event weight.

    Parameters
    ----------
    correction
        Position of its correction in `VariationPlan.corrections`.
    source
        Position of its source in that correction.
    others
        Further corrections, later ones, in which the same source moves objects; of each its
        position and that of the source in it.
    """

    label: str
    correction: int
    source: int
    direction: Direction
    others: tuple[tuple[int, int], ...] = ()

    @property
    def parts(self) -> dict[int, int]:
        """Position of each correction that moves, and of its source, in order."""
        return dict(((self.correction, self.source), *self.others))


@dataclass(frozen=True, slots=True)
class WeightSource:
    """A source of event weights of which more is wanted than up and down.

    Parameters
    ----------
    name
        Of its sums over all events.
    correction, source
        As in `Variation`.
    """

    name: str
    correction: int
    source: int


@dataclass(frozen=True)
class VariationPlan:
    """Corrections and variations of one dataset, in the order in which they are applied.

    Parameters
    ----------
    members
        Sources that are made of many weights each; they have no label before these are combined.
    normalised
        Sources whose sums over all events, before any cut, are wanted.
    read
        What masks, selections and observables read, of all that corrections may make.
    """

    process: str
    corrections: tuple[Correction, ...]
    shifts: tuple[Variation, ...]
    weights: tuple[Variation, ...]
    members: tuple[WeightSource, ...] = ()
    normalised: tuple[WeightSource, ...] = ()
    dataset: str | None = None
    year: str | None = None
    read: frozenset[ObjVar] = frozenset()

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels on the variation axis; the nominal is first."""
        weights = (variation.label for variation in self.weights)
        return ("nominal", *weights, *(shift.label for shift in self.shifts))

    def of(self, place: WeightSource) -> tuple[Correction, UncertaintySource]:
        """Return the correction and the source at `place`."""
        correction = self.corrections[place.correction]
        return correction, correction.uncertainty_sources[place.source]

    def touched(self, shift: Variation) -> frozenset[ObjVar]:
        """Return the columns that differ from the nominal ones in `shift`.

        A later object correction that reads a changed column changes its own target too.
        """
        changed: set[ObjVar] = set()
        for i, correction in enumerate(self.corrections):
            applies = correction.type == "object" and correction.has_nominal
            if i in shift.parts or (applies and needs(correction, changed)):
                changed.update(changes(correction))
        return frozenset(changed)

    def touched_by_any(self) -> frozenset[ObjVar]:
        """Return the columns that at least one shift changes."""
        return frozenset().union(*(self.touched(shift) for shift in self.shifts))

    def companion(self, source: UncertaintySource, shift: Variation) -> Direction | None:
        """Say in which direction a weight moves together with `shift` (``varies_with``)."""
        moved = self.corrections[shift.correction].uncertainty_sources[shift.source].name
        moves = moved in source.varies_with and source.concerns(
            self.process, self.dataset, self.year
        )
        return shift.direction if moves and shift.direction in directions(source) else None


def changes(correction: Correction) -> tuple[ObjVar, ...]:
    """Return what an object correction changes; a whole collection where it is sorted again."""
    met = correction.propagate_to
    carried = () if met is None else (ObjVar(met, "pt"), ObjVar(met, "phi"))
    again = dict.fromkeys(ObjVar(ref.obj) for ref in correction.momenta if correction.resort)
    return (*correction.target, *carried, *again)


def carrying(correction: Correction) -> list[ObjVar]:
    """Return what is read of the objects whose changes go into `propagate_to`."""
    if correction.propagate_to is None:
        return []
    share = correction.propagate_share
    angles = [ObjVar(ref.obj, "phi") for ref in correction.momenta]
    return angles if share is None else [*angles, share]


def needs(correction: Correction, columns: Iterable[ObjVar]) -> bool:
    """Say whether a correction needs any of `columns`, be it to change it."""
    args = [arg for arg in correction.args if isinstance(arg, ObjVar)]
    refs = (*args, *carrying(correction), *changes(correction))
    return any(overlaps(ref, other) for ref in refs for other in columns)


def plan_variations(
    config: Config,
    process: str,
    *,
    year: str | None,
    is_data: bool,
    dataset: str | None = None,
    sums: Mapping[str, str] | None = None,
) -> VariationPlan:
    """Collect what applies to the events of one dataset.

    Parameters
    ----------
    config
        Its `general.run_systematics` switches all variations off.
    process, year, is_data, dataset
        Of the dataset, and its key. Data has no variation.
    sums
        Names of the sums over all events by source; None: those of the sources.
    """
    kind, about = "data" if is_data else "mc", (process, dataset, year)
    corrections = tuple(
        correction
        for correction in config.corrections_for(year)
        if correction.applies_to in (kind, "both") and correction.concerns(*about)
    )
    shifts: list[Variation] = []
    weights: list[Variation] = []
    members: list[WeightSource] = []
    normalised: list[WeightSource] = []
    wanted, names = config.general.run_systematics, sums or {}
    for i, correction in enumerate(() if is_data else corrections):
        for j, source in enumerate(correction.uncertainty_sources):
            if source.varies_with or not source.concerns(*about):
                continue
            if source.normalise:
                normalised.append(WeightSource(names.get(source.name, source.name), i, j))
            if not wanted:
                continue
            if source.members is not None:
                members.append(WeightSource(source.name, i, j))
                continue
            variations = shifts if correction.type == "object" else weights
            for direction in directions(source):
                variations.append(Variation(f"{source.name}_{direction}", i, j, direction))
    return VariationPlan(
        process, corrections, _joined(shifts), tuple(weights),
        tuple(members), tuple(normalised), dataset, year, _read(config),
    )  # fmt: skip


def _read(config: Config) -> frozenset[ObjVar]:
    """Return what the functions that come after the corrections read."""
    masks, parts = config.good_object_masks, [config.baseline_selection]
    parts += [*masks.analysis, *masks.mva, *config.ghost_observables]
    parts += [one for c in config.channels for one in (c.selection, *c.observables)]
    return frozenset(ref for part in parts if part is not None for ref in part.use)


def _joined(shifts: Iterable[Variation]) -> tuple[Variation, ...]:
    """Make one shift of those with the same label: their corrections move together."""
    found: dict[str, Variation] = {}
    for shift in shifts:
        first = found.get(shift.label)
        more = (shift.correction, shift.source)
        found[shift.label] = (
            shift if first is None else replace(first, others=(*first.others, more))
        )
    return tuple(found.values())


def directions(source: UncertaintySource) -> tuple[Direction, ...]:
    """Return the sides that exist; a one-sided function gets its mirror only when asked to."""
    if source.symmetrise or (source.up_function is None) == (source.down_function is None):
        return DIRECTIONS
    return ("up",) if source.up_function else ("down",)

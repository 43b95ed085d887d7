"""The variations of a dataset, what each changes, and the event weights: nominal and varied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.engine.calls import as_flat
from intccms.engine.corrections import Factors, apply
from intccms.engine.objects import Objects, content, lists_of, overlaps, top_level
from intccms.errors import FunctionError, MissingColumnError, MissingSumsError
from intccms.histograms.sums import MemberSums, WeightSums, bin_indices
from intccms.histograms.theory import layout_of
from intccms.schema import Config, Correction, ObjVar, UncertaintySource
from intccms.schema.corrections import Direction


@dataclass(frozen=True, slots=True)
class Variation:
    """An object systematic, which moves objects and what follows from them, or another weight.

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
    object_systematics: tuple[Variation, ...]
    weights: tuple[Variation, ...]
    members: tuple[WeightSource, ...] = ()
    normalised: tuple[WeightSource, ...] = ()
    dataset: str | None = None
    year: str | None = None
    read: frozenset[ObjVar] = frozenset()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels on the variation axis; the nominal is first."""
        weights = (variation.label for variation in self.weights)
        return ("nominal", *weights, *(shift.label for shift in self.object_systematics))

    def of(self, place: WeightSource) -> tuple[Correction, UncertaintySource]:
        """Return the correction and the source at `place`."""
        correction = self.corrections[place.correction]
        return correction, correction.uncertainty_sources[place.source]

    @cached_property
    def touched(self) -> dict[str, frozenset[ObjVar]]:
        """The columns that differ from the nominal ones, by label of the object systematic.

        A later object correction that reads a changed column changes its own target too.
        """
        touched: dict[str, frozenset[ObjVar]] = {}
        for shift in self.object_systematics:
            changed: set[ObjVar] = set()
            for i, correction in enumerate(self.corrections):
                applies = correction.type == "object" and correction.has_nominal
                if i in shift.parts or (applies and needs(correction, changed)):
                    changed.update(changes(correction))
            touched[shift.label] = frozenset(changed)
        return touched

    def touched_by_any(self) -> frozenset[ObjVar]:
        """Return the columns that at least one object systematic changes."""
        return frozenset().union(*self.touched.values())

    def companion(self, source: UncertaintySource, shift: Variation) -> Direction | None:
        """Return the direction in which a weight moves with `shift` (``varies_with``)."""
        moved = self.corrections[shift.correction].uncertainty_sources[shift.source].name
        moves = moved in source.varies_with and source.concerns(
            self.process, self.dataset, self.year
        )
        return shift.direction if moves and shift.direction in source.directions else None


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
    """Return whether a correction needs any of `columns`, be it to change it."""
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
            for direction in source.directions:
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
    """Make one object systematic of those with the same label: their corrections move together."""
    by_label: dict[str, Variation] = {}
    for shift in shifts:
        first = by_label.get(shift.label)
        position = (shift.correction, shift.source)
        by_label[shift.label] = (
            shift if first is None else replace(first, others=(*first.others, position))
        )
    return tuple(by_label.values())


Index = NDArray[np.int64]
Weights = NDArray[np.float64]


def checked(value: Any, n: int, correction: Correction, source: str = "") -> Weights:
    """Return finite float64 weights of `n` events; `value` may be one number for all."""
    key = f"correction {correction.name!r}" + (f", source {source!r}" if source else "")
    flat = as_flat(value, n, key).astype(np.float64)
    if not np.isfinite(flat).all():
        n_bad = int(np.count_nonzero(~np.isfinite(flat)))
        raise FunctionError(f"{key}: {n_bad} of {n} event weights are not finite")
    return flat


def weight_matrix(
    plan: VariationPlan,
    objects: Objects,
    gen_weight: Weights,
    factors: Factors,
    channel: str | None = None,
) -> Weights:
    """Return the nominal weights and those of every weight variation.

    Parameters
    ----------
    objects
        Good, corrected objects of the events that the channel keeps.
    gen_weight : shape (n_events,)
        Of the same events; 1 for data.
    channel
        In which they are; None: what is for some channels only does not count.

    Returns
    -------
    shape (1 + n_weight_variations, n_events)
        In the order of ``plan.labels``.
    """
    steps = [
        (i, c, checked(factors.nominal(c, objects), objects.n, c))
        for i, c in enumerate(plan.corrections)
        if c.type == "event" and c.is_in(channel)
    ]
    rows = [_product(gen_weight, steps, {})]
    for variation in plan.weights:
        correction = plan.corrections[variation.correction]
        source = correction.uncertainty_sources[variation.source]
        if not (correction.is_in(channel) and source.is_in(channel)):
            rows.append(rows[0])
            continue
        value = factors.varied(correction, source, variation.direction, objects)
        varied = checked(value, objects.n, correction, source.name)
        rows.append(_product(gen_weight, steps, {variation.correction: varied}))
    return np.stack(rows)


def _product(
    gen_weight: Weights, steps: list[tuple[int, Correction, Weights]], instead: dict[int, Weights]
) -> Weights:
    weight = gen_weight
    for i, correction, factor in steps:  # always in this order, so that the bits agree
        weight = apply(correction.op, weight, instead.get(i, factor))
    return weight


def reads(correction: Correction) -> list[ObjVar]:
    """Return the columns that a correction or one of its sources reads, be it to change them."""
    sources = [one for one in correction.uncertainty_sources if one.members is None]
    refs = [ref for ref in changes(correction) if ref.field is not None]
    refs += carrying(correction)
    own = correction.args if sources or correction.has_nominal else ()  # members need not be there
    args = [*own, *(arg for source in sources for arg in source.args or ())]
    return [*(arg for arg in args if isinstance(arg, ObjVar)), *refs]


ALL = "all"  # events, whether they have such weights or not
NOMINAL = "nominal"  # weight of the events that have them

# Labels (the nominal first), the events that have them, and a row of relative weights for each.
MemberTable = tuple[tuple[str, ...], Index, NDArray[Any]]


def branch_of(plan: VariationPlan, place: WeightSource) -> ObjVar:
    """Return the branch that the members of a source are in."""
    correction, source = plan.of(place)
    (branch,) = correction.args_of(source)
    assert isinstance(branch, ObjVar)
    return top_level(branch)


def member_tables(
    plan: VariationPlan, place: WeightSource, objects: Objects, titles: Mapping[str, str]
) -> Iterator[MemberTable]:
    """Return the members of a source, for each number of weights that events have.

    Parameters
    ----------
    titles
        Of the branches of the original file.

    Raises
    ------
    MissingColumnError
        If the events lack a branch that the original file has.
    """
    branch, (_, source) = branch_of(plan, place), plan.of(place)
    if not objects.has(branch.obj):
        if branch.obj in titles:
            raise MissingColumnError(f"no column {branch.obj!r}, which {source.name!r} needs")
        return
    column = objects.column(branch)
    lists, values = lists_of(column), content(column)
    if lists is None:
        return
    title = titles.get(branch.obj, "")
    for n in np.unique(lists.counts).tolist():
        yield from _alike(place.name, source, (n, title), lists.counts, values)


def _alike(
    name: str,
    source: UncertaintySource,
    described: tuple[int, str],
    counts: Index,
    values: NDArray[Any],
) -> Iterator[MemberTable]:
    """Return the members of the events that have `n` weights, if that number is known."""
    (n, title), kind = described, source.members
    layout = None if kind is None else layout_of(kind, title, n, source.lha_id)
    if layout is None:
        return
    events = np.flatnonzero(counts == n)
    if len(events) == len(counts):
        table = values.reshape(-1, n)
    else:
        starts = (np.cumsum(counts) - counts)[events]
        table = values[starts[:, np.newaxis] + np.arange(n)]
    if layout.positions != tuple(range(n)):
        table = table[:, layout.positions]
    labels = tuple(f"{name}/{layout.group}/{member}" for member in (NOMINAL, *layout.members))
    yield labels, events, np.concatenate([np.ones((len(events), 1), table.dtype), table], axis=1)


def weight_sums(
    plan: VariationPlan,
    objects: Objects,
    gen_weight: Weights,
    titles: Mapping[str, str],
    factors: Factors,
) -> WeightSums:
    """Sum the weights of the sources that are normalised over all events, before any cut.

    Returns
    -------
    WeightSums
        For each source `name` at least ``name/all``, the nominal sum.
    """
    sums = MemberSums.nothing()
    for place in plan.normalised:
        correction, source = plan.of(place)
        nominal = checked(factors.nominal(correction, objects), objects.n, correction)
        weight = apply(correction.op, gen_weight, nominal)
        labels, columns = [f"{place.name}/{ALL}"], [weight]
        for side in () if source.members else source.directions:
            value = factors.varied(correction, source, side, objects)
            varied = checked(value, objects.n, correction, source.name)
            labels.append(f"{place.name}/{side}")
            columns.append(apply(correction.op, gen_weight, varied))
        sums += MemberSums.of(labels, np.stack(columns, axis=1), np.ones(objects.n))
        if source.members is None:
            continue
        for names, events, table in member_tables(plan, place, objects, titles):
            sums += _summed(source, names, table, weight[events])
    return WeightSums(dict(titles), sums)


def check_sums(plan: VariationPlan, sums: WeightSums) -> None:
    """Check that what a skim knows of its origin has the sums of all normalised sources.

    Raises
    ------
    MissingSumsError
        Naming the source.
    """
    for place in plan.normalised:
        if f"{place.name}/{ALL}" not in sums.sums.labels:
            _, source = plan.of(place)
            raise MissingSumsError(
                f"the sums of the weights of {source.name!r} over all events are not there, as it "
                "is now ('normalise')"
            )


def member_sums(
    source: UncertaintySource,
    table: MemberTable,
    weights: Weights,
    values: NDArray[Any],
    edges: tuple[float, ...],
) -> MemberSums:
    """Fill one observable with each member.

    Parameters
    ----------
    weights, values : shape (n_events,)
        Nominal weight and observable of all events that a channel keeps.
    """
    labels, events, rows = table
    bins = bin_indices(values[events], edges)
    return _summed(source, labels, rows, weights[events], bins=bins, n_bins=len(edges) + 1)


def _summed(
    source: UncertaintySource,
    labels: tuple[str, ...],
    rows: NDArray[Any],
    weights: Weights,
    **binned: Any,
) -> MemberSums:
    try:
        return MemberSums.of(labels, rows, weights, **binned)
    except ValueError as exc:
        raise FunctionError(f"source {source.name!r}: its weights are not all finite") from exc

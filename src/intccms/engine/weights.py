"""Event weights: nominal, varied, in rows of shifts; members of theory weights and their sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.engine.calls import as_flat
from intccms.engine.corrections import Factors, apply
from intccms.engine.object_corrections import content, lists_of
from intccms.engine.objects import Objects, top_level
from intccms.engine.variations import VariationPlan, WeightSource, carrying, changes, directions
from intccms.errors import FunctorError, MissingColumnError, MissingSumsError
from intccms.histograms.sums import MemberSums, WeightSums, bin_indices
from intccms.histograms.theory import layout_of
from intccms.schema import Correction, ObjVar, UncertaintySource

Index = NDArray[np.int64]
Weights = NDArray[np.float64]


def checked(value: Any, n: int, correction: Correction, source: str = "") -> Weights:
    """Return finite float64 weights of `n` events; `value` may be one number for all."""
    key = f"correction {correction.name!r}" + (f", source {source!r}" if source else "")
    flat = as_flat(value, n, key).astype(np.float64)
    if not np.isfinite(flat).all():
        n_bad = int(np.count_nonzero(~np.isfinite(flat)))
        raise FunctorError(f"{key}: {n_bad} of {n} event weights are not finite")
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
    (branch,) = correction.args if source.args is None else source.args
    assert isinstance(branch, ObjVar)
    return top_level(branch)


def member_tables(
    plan: VariationPlan, place: WeightSource, objects: Objects, titles: Mapping[str, str]
) -> Iterator[MemberTable]:
    """Give the members of a source, for each number of weights that events have.

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
    """Give the members of the events that have `n` weights, if that number is known."""
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
        for side in () if source.members else directions(source):
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
        raise FunctorError(f"source {source.name!r}: its weights are not all finite") from exc

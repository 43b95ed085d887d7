"""Weights of generators: the members that events have, and sums over all events before any cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.engine.consequences import content, lists_of
from intccms.engine.corrections import Factors, apply
from intccms.engine.steps import Index, Weights
from intccms.engine.variations import VariationPlan, WeightSource, directions
from intccms.engine.weights import checked
from intccms.errors import FunctorError, MissingColumnError, MissingSumsError
from intccms.functors.objects import Objects, top_level
from intccms.histograms.members import MemberSums, WeightSums
from intccms.histograms.sums import bin_indices
from intccms.schema import ObjVar, UncertaintySource
from intccms.theory import layout_of

__all__ = [
    "ALL",
    "NOMINAL",
    "MemberTable",
    "branch_of",
    "check_sums",
    "member_sums",
    "member_tables",
    "weight_sums",
]

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

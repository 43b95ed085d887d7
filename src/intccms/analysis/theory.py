"""What the sums of a dataset say of its theory weights: members to combine, norms; pure."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from intccms.analysis.processor import AnalysisProcessor
from intccms.engine.chunk import ChunkSums
from intccms.engine.variations import VariationPlan, WeightSource
from intccms.engine.weights import ALL, NOMINAL, branch_of
from intccms.errors import IntccmsError
from intccms.execution.accounting import Ledger
from intccms.histograms.book import Theory
from intccms.histograms.members import WeightSums

log = logging.getLogger(__name__)

SMALL = 1e-3  # of the sum of weights: less is not worth a word


def theory_of(
    processor: AnalysisProcessor, dataset: str, sums: ChunkSums, ledger: Ledger
) -> Theory:
    """Collect members and norms of a dataset; what it lacks is said, once.

    Parameters
    ----------
    sums
        Of all its chunks.
    ledger
        Says whether its files were filtered before they came here.

    Raises
    ------
    IntccmsError
        If a sum of weights that a variation is to be divided by is not positive.
    """
    plan, members = processor.plan(dataset), sums.get("members", {})
    if not (plan.members or plan.normalised) or not processor.has_analysis:
        return Theory()
    _tell(plan, dataset, sums)
    if plan.normalised and ledger.datasets[dataset].sumw_source == "runs":
        log.warning(
            "dataset %r was filtered before: its varied weights are normalised to the events that "
            "are left, not to those that were generated",
            dataset,
        )
    return Theory(members, _norms(plan, dataset, sums["weights"]))


def _norms(plan: VariationPlan, dataset: str, weights: WeightSums) -> dict[str, float]:
    """Give, by label of a variation or member, its nominal sum of weights over its own."""
    found = {label: float(total.item()) for label, total in weights.sums.rounded().items()}
    norms: dict[str, float] = {}
    for place in plan.normalised:
        _, source = plan.of(place)
        for label in [label for label in found if label.startswith(f"{place.name}/")]:
            parts = label.split("/")[1:]
            if parts[-1] == ALL or (len(parts) > 1 and parts[-1] == NOMINAL):
                continue
            reference = [place.name, *parts[:-1], NOMINAL] if len(parts) > 1 else [place.name, ALL]
            ratio = _ratio(found["/".join(reference)], found[label])
            if ratio is None:
                raise IntccmsError(
                    f"dataset {dataset!r}: the sum of weights of {source.name!r} ({parts[-1]}) is "
                    f"{found[label]:g}, to which nothing can be normalised"
                )
            key = [source.name, *parts] if len(parts) > 1 else [f"{source.name}_{parts[0]}"]
            norms["/".join(key)] = ratio
    return norms


def _ratio(nominal: float, varied: float) -> float | None:
    if nominal == 0.0 and varied == 0.0:  # of no event
        return 1.0
    ratio = nominal / varied if varied else np.inf
    return ratio if np.isfinite(ratio) and ratio > 0 else None


def _tell(plan: VariationPlan, dataset: str, sums: ChunkSums) -> None:
    """Say which variations a dataset does not have because its events have no such weights."""
    missing: dict[str, list[str]] = {}
    for place in plan.members:
        if _has_none(plan, place, sums):
            _, source = plan.of(place)
            branch = branch_of(plan, place).obj
            title = sums["weights"].titles.get(branch)
            about = branch if title is None else f"{branch}, title {title!r}"
            missing.setdefault(about, []).append(source.name)
    if missing:
        parts = [f"{', '.join(names)} ({about})" for about, names in missing.items()]
        log.warning(
            "dataset %r has no weights that are known for %s: it is without these variations",
            dataset,
            "; ".join(parts),
        )
    partly = {name: share for name, share in _shares(plan, sums) if SMALL < share < 1 - SMALL}
    if partly:
        log.warning(
            "dataset %r has weights for a part of its events only, the others stay nominal: %s",
            dataset,
            ", ".join(f"{name} {share:.1%}" for name, share in partly.items()),
        )


def _shares(plan: VariationPlan, sums: ChunkSums) -> Iterator[tuple[str, float]]:
    """Give the share of the sum of weights that has the members of a source, where it is known."""
    found = {label: float(one.item()) for label, one in sums["weights"].sums.rounded().items()}
    for place in plan.normalised:
        _, source = plan.of(place)
        total = found.get(f"{place.name}/{ALL}", 0.0)
        if source.members is not None and total:
            start, end = f"{place.name}/", f"/{NOMINAL}"
            of_groups = (v for k, v in found.items() if k.startswith(start) and k.endswith(end))
            yield source.name, sum(of_groups) / total


def _has_none(plan: VariationPlan, place: WeightSource, sums: ChunkSums) -> bool:
    """Say whether no event has the members of a source, as far as that can be told."""
    histograms = sums["histograms"].values()
    labels = {label for one in sums["members"].values() for label in one.labels}
    is_known = any(one.sumw.levels for one in histograms)  # some event was selected
    prefix = f"{place.name}/"
    for one in plan.normalised:
        if plan.of(one) == plan.of(place):
            labels, is_known = set(sums["weights"].sums.labels) - {f"{one.name}/{ALL}"}, True
            prefix = f"{one.name}/"
    return is_known and not any(label.startswith(prefix) for label in labels)

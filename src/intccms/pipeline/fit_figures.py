"""Which figures are made of fits and limits, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cabinetry.fit import RankingResults

from intccms.plots import Look, statistics
from intccms.plots.statistics import treated
from intccms.statistics import FitOutcome, SignalResult, families

__all__ = ["fit_figures"]

Make = Callable[[], tuple[Any, Any]]  # gives figure and axes


def fit_figures(
    results: Mapping[str, SignalResult], folder: Path, look: Look
) -> Iterator[tuple[Path, Make]]:
    """List the figures: the path without suffix, and what draws it.

    Those of one signal of several are in a folder of its name.
    """
    for signal, result in results.items():
        inside = folder if len(results) == 1 else folder / signal
        for name, make in _of_signal(result, look):
            yield inside / name, make
    found = list(results.values())
    workspaces = [one.workspace for one in found]
    for region in workspaces[0].regions if workspaces else ():
        if workspaces[0].systematics(region.name):
            draw = partial(treated, workspaces, region.name, look=look)
            yield folder / f"templates_{region.name}", draw
    for family in families(found):
        suffix = f"_{family.name}".rstrip("_")
        limited = tuple(one for one in family.results if one.limits is not None)
        tested = tuple(one for one in family.results if one.significance is not None)
        for scan, known in (
            (statistics.limits_by_mass, limited),
            (statistics.p_values_by_mass, tested),
        ):
            if len(known) > 1:
                draw = partial(scan, replace(family, results=known), look=look)
                yield folder / f"{scan.__name__}{suffix}", draw


def _of_signal(result: SignalResult, look: Look) -> Iterator[tuple[str, Make]]:
    if result.fit is not None:
        yield from _of_fit(result.fit, result.ranking, look)
    if result.limits is not None:
        yield "limit", partial(statistics.cls_scan, result.limits, look=look)


def _of_fit(
    outcome: FitOutcome, ranking: RankingResults | None, look: Look
) -> Iterator[tuple[str, Make]]:
    for prediction in (*outcome.prefit, *outcome.postfit):
        name = "postfit" if prediction.is_postfit else "prefit"
        draw = partial(statistics.fitted, prediction, look=replace(look, log=True))
        yield f"{name}_{prediction.channel}", draw
    if outcome.n_dof > 0:
        yield "goodness_of_fit", partial(statistics.goodness_of_fit, outcome, look=look)
    if outcome.pulls:
        yield "pulls", partial(statistics.pulls, outcome, look=look)
    if len(outcome.results.labels) > 1:
        yield "correlations", partial(statistics.correlations, outcome, look=look)
    if ranking is not None and ranking.labels:
        yield "ranking", partial(statistics.impacts, ranking, outcome, look=look)

"""Which figures are made of fits and limits, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from intccms.plots import Look, masses, statistics
from intccms.plots.templates import treated
from intccms.statistics import SignalResult, families

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
        if len(family.results) > 1:
            suffix = f"_{family.name}".rstrip("_")
            for scan in (masses.limits_by_mass, masses.p_values_by_mass):
                yield folder / f"{scan.__name__}{suffix}", partial(scan, family, look=look)


def _of_signal(result: SignalResult, look: Look) -> Iterator[tuple[str, Make]]:
    for prediction in (*result.fit.prefit, *result.fit.postfit):
        name = "postfit" if prediction.is_postfit else "prefit"
        draw = partial(statistics.fitted, prediction, look=replace(look, log=True))
        yield f"{name}_{prediction.channel}", draw
    if result.fit.n_dof > 0:
        yield "goodness_of_fit", partial(statistics.goodness_of_fit, result.fit, look=look)
    if result.fit.pulls:
        yield "pulls", partial(statistics.pulls, result.fit, look=look)
    if len(result.fit.results.labels) > 1:
        yield "correlations", partial(statistics.correlations, result.fit, look=look)
    if result.ranking.labels:
        yield "ranking", partial(statistics.impacts, result.ranking, result.fit, look=look)
    yield "limit", partial(statistics.cls_scan, result.limits, look=look)

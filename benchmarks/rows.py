"""The rows of the table: what is run, and on how many variations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ROWS", "Row"]

Kind = Literal["floor", "hand-written", "RDataFrame", "intccms", "bare"]


@dataclass(frozen=True)
class Row:
    """One way to do the analysis.

    Parameters
    ----------
    kind
        Who does it. ``bare`` is the kit's processor without plan, reports, ledger, checkpoints.
    n_sources
        Sources of jet energy; two shifts each.
    weights
        Whether all weight variations are filled too.
    closures
        Whether the sources are functions of the user.
    settings
        Of the kit, beyond the iterative executor.
    """

    kind: Kind
    n_sources: int = 0
    weights: bool = False
    closures: bool = False
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For the table."""
        words = [self.kind]
        if self.n_sources:
            words.append(f"+{2 * self.n_sources} shifts")
        words += ["+weights"] * self.weights + ["as closures"] * self.closures
        words += [str(value) for value in self.settings.values()]
        return " ".join(words)


def _workers(executor: str) -> dict[str, object]:
    return {"general.executor": executor, "general.n_workers": 2}


ROWS = {
    "floor": Row("floor"),
    "hand": Row("hand-written"),
    "hand+54": Row("hand-written", 27),
    "hand+54+weights": Row("hand-written", 27, weights=True),
    "hand+200": Row("hand-written", 100),
    "rdf": Row("RDataFrame"),
    "rdf+54": Row("RDataFrame", 27),
    "kit": Row("intccms"),
    "kit+weights": Row("intccms", weights=True),
    "kit+10": Row("intccms", 5),
    "kit+54": Row("intccms", 27),
    "kit+54+weights": Row("intccms", 27, weights=True),
    "kit+54-closures": Row("intccms", 27, closures=True),
    "kit+200": Row("intccms", 100),
    "kit-bare": Row("bare"),
    "kit-futures": Row("intccms", settings=_workers("futures")),
    "kit-dask": Row("intccms", settings=_workers("dask")),
    "kit+54+weights-futures": Row("intccms", 27, weights=True, settings=_workers("futures")),
    "kit+54+weights-dask": Row("intccms", 27, weights=True, settings=_workers("dask")),
}

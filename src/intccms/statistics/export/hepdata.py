"""Tables for HEPData: ``submission.yaml`` and one data file a table.

Writes below ``statistics/hepdata``. What is blinded is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from intccms.statistics.fit import FitOutcome, Prediction
from intccms.statistics.limits import LimitOutcome, Significance
from intccms.statistics.results import SignalResult, families
from intccms.storage import write_text

DIGITS = 5  # significant ones
Column = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One table of a record.

    Parameters
    ----------
    name
        Of its file, without suffix.
    columns
        The independent variables, then the dependent ones, in HEPData's words.
    """

    name: str
    description: str
    observable: str  # HEPData's keyword
    columns: tuple[list[Column], list[Column]]


def write_hepdata(results: Sequence[SignalResult], folder: Path) -> tuple[Path, ...]:
    """Write the submission with all its tables.

    Returns
    -------
    tuple of Path
        ``submission.yaml`` first.
    """
    tables = list(hepdata_tables(results))
    documents: list[dict[str, Any]] = [{"comment": "Limits, p-values and yields of a search."}]
    for table in tables:
        documents.append(
            {
                "name": table.name.replace("_", " ").capitalize(),
                "location": "",
                "description": table.description,
                "keywords": [{"name": "observables", "values": [table.observable]}],
                "data_file": f"{table.name}.yaml",
            }
        )
        names = ("independent_variables", "dependent_variables")
        content = dict(zip(names, table.columns, strict=True))
        write_text(folder / f"{table.name}.yaml", yaml.safe_dump(content, sort_keys=False))
    submission = folder / "submission.yaml"
    write_text(submission, yaml.safe_dump_all(documents, sort_keys=False))
    return (submission, *(folder / f"{table.name}.yaml" for table in tables))


def hepdata_tables(results: Sequence[SignalResult]) -> Iterator[Table]:
    """Give limits and p-values, of each family of signals, and the yields of each channel.

    A signal without limit, p-value or fit is not in the tables of these.
    """
    groups = {f"_{family.name}".rstrip("_"): family.results for family in families(results)}
    if without := tuple(one for one in results if one.mass_gev is None):
        groups["_of_signals"] = without
    for name, found in groups.items():
        limited = [(one.limits, one.cross_section_pb) for one in found if one.limits is not None]
        if limited:
            level = limited[0][0].confidence_level
            text = f"{level:.0%} CL upper limits on the cross section times branching fraction."
            points = _points([one for one in found if one.limits is not None])
            yield Table(f"limits{name}", text, "CLS", ([points], _limits(limited)))
        tested = [one.significance for one in found if one.significance is not None]
        if tested:
            text = "Local p-values of the hypothesis that there is no signal."
            points = _points([one for one in found if one.significance is not None])
            yield Table(f"p_values{name}", text, "P-VALUE", ([points], _p_values(tested)))
    fits = [one.fit for one in results if one.fit is not None]
    for index, prediction in enumerate(fits[0].prefit if fits else ()):
        text = f"Events in the channel {prediction.channel}, before and after the fit."
        columns = ([_bins(prediction)], list(_yields(fits, index)))
        yield Table(f"yields_{prediction.channel}", text, "N", columns)


def _points(results: Sequence[SignalResult]) -> Column:
    """Give the masses of the signals, or their names where they have none."""
    if results[0].mass_gev is None:
        values = [{"value": one.signal} for one in results]
        return {"header": {"name": "Signal"}, "values": values}
    return _masses(results)


def _masses(results: Sequence[SignalResult]) -> Column:
    values = [{"value": one.mass_gev} for one in results]
    return {"header": {"name": "Mass of the resonance", "units": "GeV"}, "values": values}


def _bins(prediction: Prediction) -> Column:
    edges = [_number(edge) for edge in prediction.edges]
    values = [{"low": low, "high": high} for low, high in zip(edges, edges[1:], strict=False)]
    return {"header": {"name": prediction.label}, "values": values}


def _limits(limits: Sequence[tuple[LimitOutcome, float]]) -> list[Column]:
    """Give the limits in pb, with the cross section of each signal."""
    expected = []
    for one, cross_section_pb in limits:
        band = np.asarray(one.expected) * cross_section_pb
        errors = [
            {
                "asymerror": {
                    "plus": _number(band[2 + n] - band[2]),
                    "minus": _number(band[2 - n] - band[2]),
                },
                "label": f"{n} s.d.",
            }
            for n in (1, 2)
        ]
        expected.append({"value": _number(band[2]), "errors": errors})
    columns = [{"header": {"name": "Expected limit", "units": "pb"}, "values": expected}]
    if not any(one.is_blinded for one, _ in limits):
        observed = [one.observed * cross_section_pb for one, cross_section_pb in limits]
        columns.append(_column("Observed limit", observed, units="pb"))
    return columns


def _p_values(tested: Sequence[Significance]) -> list[Column]:
    expected = [one.expected_p_value for one in tested]
    columns = [_column("Expected with a signal of strength 1", expected)]
    if not any(one.is_blinded for one in tested):
        columns.append(_column("Observed", [one.observed_p_value for one in tested]))
    return columns


def _yields(fits: Sequence[FitOutcome], index: int) -> Iterator[Column]:
    """Give data and each sample before the fit; then the sum after the fit of each signal."""
    first = fits[0].prefit[index]
    if np.isfinite(first.observed).any():
        yield _column("Data", first.observed)
    signals = {one.signal for one in fits}
    for one in fits:
        prediction = one.prefit[index]
        for name, values in zip(prediction.samples, prediction.yields, strict=True):
            if name == one.signal or (one is fits[0] and name not in signals):
                yield _column(name, values)
    for one in fits:
        after = one.postfit[index]
        column = _column("Signal and background after the fit", after.total, errors=after.errors)
        yield {**column, "qualifiers": [{"name": "Signal", "value": one.signal}]}


def _column(
    name: str, values: Sequence[float] | Any, *, units: str = "", errors: Any = None
) -> Column:
    cells: list[dict[str, Any]] = [{"value": _number(value)} for value in values]
    for cell, error in zip(cells, () if errors is None else errors, strict=False):
        cell["errors"] = [{"symerror": _number(error), "label": "total"}]
    return {"header": {"name": name} | ({"units": units} if units else {}), "values": cells}


def _number(value: float) -> float | str:
    """Round to a few digits; ``-`` stands for what there is not."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else "-"

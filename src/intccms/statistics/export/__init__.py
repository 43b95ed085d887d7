"""Everything that was inferred, as files, also in the formats of CMS Combine and HEPData."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from intccms.statistics.export.datacards import write_datacard
from intccms.statistics.export.hepdata import write_hepdata
from intccms.statistics.limits import LimitOutcome
from intccms.statistics.results import SignalResult, of_fit, of_limit, of_scan, of_significance
from intccms.statistics.templates import Change, as_table
from intccms.statistics.workspace import Workspace
from intccms.storage import write_json, write_text


def write(results: Iterable[SignalResult], folder: Path) -> tuple[Path, ...]:
    """Write fits, limits, significances and what was done to the templates as JSON.

    Beside them each signal's workspace and datacard, the table of changed templates and the
    tables for HEPData. Numbers that do not exist, such as blinded data, are null.

    Returns
    -------
    tuple of Path
        The files.
    """
    found = tuple(results)
    changes = changes_of(one.workspace for one in found)
    content: dict[str, Any] = {
        "fit.json": {
            one.signal: {"mass_gev": one.mass_gev, **of_fit(one.fit, one.ranking)}
            for one in found
            if one.fit is not None
        },
        "limits.json": {
            one.signal: {"mass_gev": one.mass_gev, **_limit(one.limits, one.cross_section_pb)}
            for one in found
            if one.limits is not None
        },
        "significance.json": {
            one.signal: {"mass_gev": one.mass_gev, **of_significance(one.significance)}
            for one in found
            if one.significance is not None
        },
        "templates.json": [{**asdict(one), "signals": names} for one, names in changes.items()],
    }
    for one in found:
        name = "workspace.json" if len(found) == 1 else f"workspace_{one.signal}.json"
        content[name] = one.workspace.spec
    for name, value in content.items():
        write_json(folder / name, value)
    write_text(folder / "templates.txt", as_table(changes))
    cards = [path for one in found for path in write_datacard(one.workspace, folder / "datacards")]
    tables = write_hepdata(found, folder / "hepdata") if found else ()
    return (*(folder / name for name in content), folder / "templates.txt", *cards, *tables)


def changes_of(workspaces: Iterable[Workspace]) -> dict[Change, list[str]]:
    """Give what was done to templates, each with the signals in whose workspaces it was done."""
    result: dict[Change, list[str]] = {}
    for workspace in workspaces:
        for change in dict.fromkeys(workspace.changes):
            result.setdefault(change, []).append(workspace.signal)
    return result


def _limit(found: LimitOutcome, cross_section_pb: float) -> dict[str, Any]:
    return of_limit(found, cross_section_pb) | of_scan(found, cross_section_pb)

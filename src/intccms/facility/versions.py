"""Whether client, scheduler and workers understand each other: versions, told before the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from distributed import Client

from intccms.errors import InputError

__all__ = ["Mismatch", "check_versions", "version_mismatches"]

log = logging.getLogger(__name__)

PACKAGES = (
    "awkward", "cloudpickle", "coffea", "correctionlib", "dask", "distributed", "hist", "numpy",
    "uproot",
)  # fmt: skip
# What a scheduler touches itself; tasks only pass through it.
OF_SCHEDULER = ("python", "cloudpickle", "dask", "distributed")
# Leading numbers of a version that must agree; others may differ, which is told.
DIGITS = {"python": 2, "distributed": 2, "dask": 2, "awkward": 1, "coffea": 1, "numpy": 1,
          "uproot": 1, "cloudpickle": 1}  # fmt: skip


@dataclass(frozen=True)
class Mismatch:
    """One package that is not the same everywhere."""

    package: str
    where: str  # "scheduler", or the address of a worker and how many are like it
    here: str
    there: str  # "absent" if it is not installed
    severity: Literal["error", "warning"]

    def __str__(self) -> str:
        """Say it in one phrase."""
        return f"{self.package} is {self.here} here, {self.there} on {self.where}"


def version_mismatches(client: Client) -> list[Mismatch]:
    """Compare the versions of client, scheduler and the workers that are there."""
    versions: Any = client.get_versions(check=False, packages=PACKAGES)
    here = _packages(versions["client"])
    found = list(_compared(here, _packages(versions["scheduler"]), "the scheduler", OF_SCHEDULER))
    alike: dict[tuple[Mismatch, ...], list[str]] = {}
    for address, answer in versions["workers"].items():
        differing = tuple(_compared(here, _packages(answer), "", ("python", *PACKAGES)))
        alike.setdefault(differing, []).append(address)
    for differing, addresses in alike.items():
        more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
        where = f"worker {addresses[0]}{more}"
        found += [Mismatch(m.package, where, m.here, m.there, m.severity) for m in differing]
    return found


def check_versions(client: Client) -> None:
    """Warn of versions that differ.

    Raises
    ------
    InputError
        If they differ so much that functions or data cannot be handed over.
    """
    found = version_mismatches(client)
    errors = [str(one) for one in found if one.severity == "error"]
    if errors:
        advice = "use one environment for all (see docs/facilities.md)"
        raise InputError(f"versions do not fit: {'; '.join(errors)}; {advice}")
    for one in found:
        log.warning("%s", one)


def _packages(answer: Mapping[str, Any] | None) -> dict[str, str | None]:
    if not answer:
        return {}
    python = ".".join(answer["host"]["python"].split(".")[:3])
    return {**answer["packages"], "python": python}


def _compared(
    here: Mapping[str, str | None],
    there: Mapping[str, str | None],
    where: str,
    names: tuple[str, ...],
) -> Iterator[Mismatch]:
    for name in names if there else ():
        ours, theirs = here.get(name), there.get(name)
        if ours is None or ours == theirs:
            continue
        n = DIGITS.get(name, 0)
        apart = theirs is None or ours.split(".")[:n] != theirs.split(".")[:n]
        severity: Literal["error", "warning"] = "error" if apart else "warning"
        yield Mismatch(name, where, ours, theirs or "absent", severity)

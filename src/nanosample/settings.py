"""What ``sample.yaml`` says: tables, and the kinds of process with their names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from intccms.errors import InputError


@cache
def settings() -> dict[str, Any]:
    """Read the file that tells what is not computed; it says itself what each part means."""
    text = files("nanosample").joinpath("sample.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How events of one kind are generated; ``sample.yaml`` says why the fractions differ."""

    name: str
    pattern: str  # of names of processes
    model: str  # "resonance", "pair", "single_top", "boson" or "multijet"
    boosted_fraction: float = 1.0  # of the events, as in nature
    sampled_fraction: float = 1.0  # of the generated events
    threshold_gev: float = 400.0  # transverse momentum from which an event is boosted
    spectrum_gev: float = 125.0  # slope above it, as in nature
    sampled_gev: float = 165.0  # slope with which it is generated
    bulk_gev: float = 0.0  # slope below the threshold
    gen_weight: float = 1.0  # nominal size of genWeight
    negative_fraction: float = 0.0  # events with negative weight
    n_leptonic: int | None = None  # leptonically decaying W bosons, if that is fixed
    heavy_flavour: float = 0.06  # b-quark pairs among boosted recoil
    resonance_gev: float = 0.0
    width_gev: float = 0.0
    boson_gev: float = 80.4
    second_boson: float = 0.0  # probability of a hadronically decaying second boson


_MASS = re.compile(r"m-?(\d+)(?:_w-?(\d+))?", re.IGNORECASE)
_HT = re.compile(r"ht-?(\d+)to(\d+|inf)", re.IGNORECASE)


def known_kinds() -> dict[str, Kind]:
    """Return all kinds by name, in the order in which their patterns are tried."""
    return {name: Kind(name=name, **values) for name, values in settings()["kinds"].items()}


def kind_of(process: str, directory: str) -> Kind:
    """Recognise a process by its name, and mass or HT range by the name of its directory.

    Raises
    ------
    InputError
        If nothing in the name says what to generate.
    """
    kinds = known_kinds()
    for kind in kinds.values():
        if re.search(kind.pattern, process, re.IGNORECASE):
            return _of_directory(kind, directory.rstrip("/").rsplit("/", 1)[-1])
    raise InputError(f"cannot tell what process {process!r} is; known: {sorted(kinds)} and data")


def _of_directory(kind: Kind, directory: str) -> Kind:
    """Read a resonance's mass and width, or a range of HT, from a directory's name."""
    if kind.model == "resonance":
        found = _MASS.search(directory)
        mass_gev = float(found[1]) if found else kind.resonance_gev
        width_gev = float(found[2]) if found and found[2] else 0.01 * mass_gev
        return replace(kind, resonance_gev=mass_gev, width_gev=width_gev)
    found = _HT.search(directory)
    if not found:
        return kind
    high = math.inf if found[2].lower() == "inf" else float(found[2])
    if high <= kind.threshold_gev:
        return replace(kind, boosted_fraction=0.0, sampled_fraction=0.0)
    return replace(kind, boosted_fraction=0.02)

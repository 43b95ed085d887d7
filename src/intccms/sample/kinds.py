"""What kinds of process there are, and how a process is recognised by its name."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from intccms.errors import InputError

__all__ = ["KINDS", "Kind", "kind_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How events of one kind are generated.

    Only a small fraction of real top-quark pairs or W bosons has a large transverse momentum, and
    only those can pass the selection. They are generated more often than they occur
    (`sampled_fraction` instead of `boosted_fraction` of the events, and with a harder spectrum);
    ``genWeight`` makes up for it, as it does for the biased samples of real generators.
    """

    name: str
    model: str  # "resonance", "pair", "single_top", "boson" or "multijet"
    boosted_fraction: float = 1.0  # of the events, as in nature
    sampled_fraction: float = 1.0  # of the generated events
    threshold_gev: float = 400.0  # of the boosted part
    spectrum_gev: float = 125.0  # slope of the boosted part, as in nature
    sampled_gev: float = 165.0  # slope with which it is generated
    gen_weight: float = 1.0  # nominal size of genWeight
    negative_fraction: float = 0.0  # events with negative weight
    hadronic: float = 0.6741  # probability that a W boson decays to quarks
    n_leptonic: int | None = None  # leptonically decaying W bosons, if that is fixed
    heavy_flavour: float = 0.06  # b-quark pairs among boosted recoil
    resonance_gev: float = 0.0
    width_gev: float = 0.0
    boson_gev: float = 80.4
    second_boson: float = 0.0  # probability of a hadronically decaying second boson


_PAIR = Kind("ttbar", "pair", 0.013, 0.8, gen_weight=315.0, negative_fraction=0.02)
_BOSON = Kind(
    "wjets", "boson", 1e-4, 0.8, gen_weight=1.0, negative_fraction=0.04, heavy_flavour=0.35
)

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "signal",
            "resonance",
            gen_weight=0.84,
            negative_fraction=0.01,
            resonance_gev=2000.0,
            width_gev=20.0,
        ),
        replace(_PAIR, name="ttbar_semilep", n_leptonic=1),
        replace(_PAIR, name="ttbar_had", n_leptonic=0),
        replace(_PAIR, name="ttbar_lep", n_leptonic=2, gen_weight=72.0),
        _PAIR,
        _BOSON,
        replace(_BOSON, name="dyjets", boson_gev=91.2, negative_fraction=0.15),
        replace(_BOSON, name="diboson", boosted_fraction=1e-3, second_boson=1.0, heavy_flavour=0.1),
        Kind("single_top", "single_top", 0.004, 0.7, gen_weight=30.0, negative_fraction=0.04),
        Kind("qcd", "multijet", 1e-4, 0.7, sampled_gev=180.0),
    )
}
_PATTERNS = (
    (r"^signal|^zprime|^zp_", "signal"),
    (r"semi.?lep", "ttbar_semilep"),
    (r"(tt|top).*(had|all.?jets)", "ttbar_had"),
    (r"(tt|top).*(di)?lep|2l2nu", "ttbar_lep"),
    (r"single.?top|^st[_-]|^tw|^t_?chan", "single_top"),
    (r"^tt|top", "ttbar"),
    (r"^w.*jet|^wj|^w$", "wjets"),
    (r"^dy|^z.*jet|^zll", "dyjets"),
    (r"^di.?boson|^vv|^w[wz]|^zz", "diboson"),
    (r"^qcd|multi.?jet", "qcd"),
)
_MASS = re.compile(r"m-?(\d+)(?:_w-?(\d+))?", re.IGNORECASE)
_HT = re.compile(r"ht-?(\d+)to(\d+|inf)", re.IGNORECASE)


def kind_of(process: str, directory: str) -> Kind:
    """Recognise a process by its name, and mass or HT range by the name of its directory.

    Raises
    ------
    InputError
        If nothing in the name says what to generate.
    """
    last = directory.rstrip("/").rsplit("/", 1)[-1]
    for pattern, name in _PATTERNS:
        if re.search(pattern, process, re.IGNORECASE):
            return _of_directory(KINDS[name], last)
    raise InputError(f"cannot tell what process {process!r} is; known: {sorted(KINDS)} and data")


def _of_directory(kind: Kind, directory: str) -> Kind:
    """Read a resonance's mass and width, or a range of HT, from a directory's name."""
    if kind.model == "resonance":
        found = _MASS.search(directory)
        if not found:
            return kind
        mass_gev = float(found[1])
        return replace(kind, resonance_gev=mass_gev, width_gev=float(found[2] or 0.01 * mass_gev))
    found = _HT.search(directory)
    if not found:
        return kind
    high = math.inf if found[2].lower() == "inf" else float(found[2])
    if high <= kind.threshold_gev:
        return replace(kind, boosted_fraction=0.0, sampled_fraction=0.0)
    return replace(kind, boosted_fraction=0.02)

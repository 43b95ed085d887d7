"""CMS Combine datacards: a workspace as a text card and its ``shapes.root``, and back.

Writes below ``statistics/datacards``; the numbers are those of the pyhf workspace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import numpy as np
import numpy.typing as npt
import uproot

from intccms.statistics.workspace import Workspace
from intccms.storage import write_bytes, write_text

Array = npt.NDArray[np.float64]
WIDTH = 22  # characters of a column
# pyhf's modifiers that Combine has another way for, or needs no line for.
OWN_WAY = {"staterror", "normfactor"}


@dataclass(frozen=True)
class Datacard:
    """What Combine reads.

    Parameters
    ----------
    text
        The card.
    shapes
        Histograms by ROOT path: ``<channel>/<process>`` and ``<channel>/<process>_<source>Up``;
        values and absolute errors per bin.
    edges
        Of each channel.
    """

    text: str
    shapes: dict[str, tuple[Array, Array]]
    edges: dict[str, Array]


@dataclass(frozen=True)
class _Sample:
    """One process in one channel, as the workspace has it."""

    channel: str
    name: str
    values: Array
    errors: Array
    modifiers: dict[str, list[dict[str, Any]]]  # by source: normsys, histosys or both

    def varied(self, source: str, side: str) -> Array:
        """Return the bins at plus or minus one standard deviation, shape and norm together."""
        values, norm = self.values, 1.0
        for modifier in self.modifiers[source]:
            if modifier["type"] == "histosys":
                values = np.asarray(modifier["data"][f"{side}_data"], dtype=float)
            else:
                norm = float(modifier["data"][side])
        return values * norm

    def effect(self, source: str) -> str:
        """Return the entry of the card: ``1`` for a shape, ``down/up`` for a norm, ``-``."""
        found = self.modifiers.get(source, [])
        if not found:
            return "-"
        if any(one["type"] == "histosys" for one in found):
            return "1"
        data = found[0]["data"]
        return f"{data['lo']:.6g}/{data['hi']:.6g}"


def datacard(workspace: Workspace, *, shapes_file: str = "shapes.root") -> Datacard:
    """Write a workspace in Combine's words.

    A source that changes only the norm of a process is ``lnN`` there, one that changes its shape
    a template pair with the norm inside; MC statistics are ``autoMCStats``; normalisation factors
    other than the signal strength become ``rateParam``.

    Parameters
    ----------
    workspace
        One signal.
    shapes_file
        Name of the ROOT file, as the card is to call it.

    References
    ----------
    CMS Collaboration, "The CMS statistical analysis and combination tool", arXiv:2404.06614,
    section on datacards.
    """
    spec = workspace.spec
    poi = spec["measurements"][0]["config"]["poi"]
    samples = [_sample(channel["name"], one) for channel in spec["channels"]
               for one in channel["samples"]]  # fmt: skip
    channels = [str(channel["name"]) for channel in spec["channels"]]
    edges = {name: np.asarray(workspace.region(name).edges, dtype=float) for name in channels}
    observed = {str(one["name"]): np.asarray(one["data"], dtype=float)
                for one in spec["observations"]}  # fmt: skip
    shapes = {f"{name}/data_obs": (observed[name], np.sqrt(observed[name])) for name in channels}
    sources = sorted({source for one in samples for source in one.modifiers})
    for one in samples:
        shapes[f"{one.channel}/{one.name}"] = (one.values, one.errors)
        for source in sources:
            if one.effect(source) == "1":
                for side, word in (("hi", "Up"), ("lo", "Down")):
                    varied = one.varied(source, side)
                    shapes[f"{one.channel}/{one.name}_{source}{word}"] = (varied, 0 * varied)
    factors = _factors(spec, poi)
    signal = _scaled_by(spec, poi)
    lines = [
        *_head(channels, observed, shapes_file),
        *_rates(samples, signal),
        *_systematics(samples, sources),
        *(f"{name}  rateParam  {channel}  {sample}  1" for name, channel, sample in factors),
        *(f"{name}  autoMCStats  0" for name in channels if _has_statistics(spec, name)),
    ]
    return Datacard("\n".join(lines) + "\n", shapes, edges)


def write_datacard(workspace: Workspace, folder: Path) -> tuple[Path, Path]:
    """Write ``<signal>.txt`` and ``<signal>_shapes.root``.

    Returns
    -------
    tuple of Path
        The card and its shapes.
    """
    name = f"{workspace.signal}_shapes.root"
    card = datacard(workspace, shapes_file=name)
    root = folder / name
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = root.with_suffix(".part")
    with uproot.recreate(temporary) as file:
        for path, (values, errors) in card.shapes.items():
            axis = hist.axis.Variable(card.edges[path.partition("/")[0]], name="observable")
            histogram = hist.Hist(axis, storage=hist.storage.Weight())
            view: Any = histogram.view()
            view["value"], view["variance"] = values, errors**2
            file[path] = histogram
    write_bytes(root, temporary.read_bytes())
    temporary.unlink()
    text = folder / f"{workspace.signal}.txt"
    write_text(text, card.text)
    return text, root


def _sample(channel: str, sample: dict[str, Any]) -> _Sample:
    modifiers: dict[str, list[dict[str, Any]]] = {}
    errors = np.zeros(len(sample["data"]))
    for one in sample["modifiers"]:
        if one["type"] == "staterror":
            errors = np.asarray(one["data"], dtype=float)
        elif one["type"] not in OWN_WAY:
            modifiers.setdefault(one["name"], []).append(one)
    values = np.asarray(sample["data"], dtype=float)
    return _Sample(channel, sample["name"], values, errors, modifiers)


def _scaled_by(spec: dict[str, Any], factor: str) -> set[str]:
    return {
        sample["name"]
        for channel in spec["channels"]
        for sample in channel["samples"]
        if any(m["name"] == factor and m["type"] == "normfactor" for m in sample["modifiers"])
    }


def _factors(spec: dict[str, Any], poi: str) -> Iterator[tuple[str, str, str]]:
    """Give the normalisation factors but the signal strength, with channel and sample."""
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            for one in sample["modifiers"]:
                if one["type"] == "normfactor" and one["name"] != poi:
                    yield one["name"], channel["name"], sample["name"]


def _has_statistics(spec: dict[str, Any], channel: str) -> bool:
    samples = next(one["samples"] for one in spec["channels"] if one["name"] == channel)
    return any(m["type"] == "staterror" for sample in samples for m in sample["modifiers"])


def _head(channels: list[str], observed: dict[str, Array], shapes_file: str) -> list[str]:
    rule = "-" * 80
    return [
        f"imax {len(channels)}  number of channels",
        "jmax *  number of processes minus 1",
        "kmax *  number of nuisance parameters",
        rule,
        f"shapes * * {shapes_file} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        rule,
        _row("bin", channels),
        _row("observation", [f"{observed[name].sum():.6f}" for name in channels]),
        rule,
    ]


def _rates(samples: list[_Sample], signal: set[str]) -> list[str]:
    """Name and number the processes: signals 0 and below, backgrounds from 1."""
    names = list(dict.fromkeys(one.name for one in samples))
    signals = [name for name in names if name in signal]
    backgrounds = [name for name in names if name not in signal]
    number = {name: -index for index, name in enumerate(signals)}
    number |= {name: 1 + index for index, name in enumerate(backgrounds)}
    return [
        _row("bin", [one.channel for one in samples]),
        _row("process", [one.name for one in samples]),
        _row("process", [str(number[one.name]) for one in samples]),
        _row("rate", [f"{one.values.sum():.8g}" for one in samples]),
        "-" * 80,
    ]


def _systematics(samples: list[_Sample], sources: list[str]) -> Iterator[str]:
    for source in sources:
        effects = [one.effect(source) for one in samples]
        has_shape, has_norm = "1" in effects, any("/" in one for one in effects)
        kind = "shape?" if has_shape and has_norm else "shape" if has_shape else "lnN"
        yield _row(source, [kind, *effects], first=WIDTH + 10)


def _row(head: str, cells: list[str], *, first: int = 2 * WIDTH) -> str:
    return (head.ljust(first) + "".join(f" {cell:<{WIDTH - 1}}" for cell in cells)).rstrip()

"""The cabinetry configuration: generated from what was filled, or read from the user's file.

Reads and writes one YAML file; cabinetry's words (Region, Sample) start here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from cabinetry import configuration

from intccms.errors import InputError, nearest
from intccms.histograms import Book
from intccms.schema import Config, Statistics
from intccms.statistics.generation import generate
from intccms.statistics.pruning import Thresholds, thresholds
from intccms.storage import write_text

__all__ = [
    "build_config",
    "cabinetry_config",
    "check_cabinetry_config",
    "region_path",
    "selected",
    "settings",
    "signal_processes",
]

log = logging.getLogger(__name__)

CabinetryConfig = dict[str, Any]

HEAD = """\
# Name this file in statistics.cabinetry_config to edit and keep it. Beside cabinetry's own keys
# intccms reads the relative effects below which a systematic is left out; 0 leaves out none:
# Pruning: {{Normalization: {:g}, Shape: {:g}}}
""".format(*Thresholds())


def settings(config: Config) -> Statistics:
    """Statistics block of a configuration, its defaults where there is none."""
    return config.statistics or Statistics()


def signal_processes(config: Config, book: Book) -> tuple[str, ...]:
    """Name the signal processes, each of which is fitted alone.

    Raises
    ------
    InputError
        If there is none, or if one that the configuration names has no histograms.
    """
    book = selected(config, book)
    if settings(config).signals is None:
        found = tuple(name for name in config.signals if name in book.mc_processes)
    else:
        found = config.signals
    for name in found:
        if name not in book.mc_processes:
            raise InputError(
                f"statistics.signals: no histograms of {name!r}; {nearest(name, book.mc_processes)}"
            )
    if not found:
        raise InputError(
            f"no signal to fit among {list(book.mc_processes)}: name it in statistics.signals"
        )
    return found


def selected(config: Config, book: Book) -> Book:
    """Leave out what ``general.channels`` and ``general.processes`` leave out.

    Saved histograms may hold more than this run asks for. What lies outside of the edges is where
    the configuration wants it.
    """
    channels = {channel.name for channel in config.active_channels}
    return replace(
        book,
        histograms={key: one for key, one in book.histograms.items() if key[0] in channels},
        varied={name: labels for name, labels in book.varied.items() if name in config.processes},
        data_processes=tuple(name for name in book.data_processes if name in config.processes),
        folded=config.folded,
    )


def check_cabinetry_config(config: Config) -> None:
    """Read the user's cabinetry configuration, if there is one, before there is a book.

    Raises
    ------
    InputError
        If the file is not a cabinetry configuration, or asks for channels, observables or
        processes that this run does not have; one line.
    """
    named = settings(config).cabinetry_config
    if named is None or not (path := config.general.input_path(named)).exists():
        return
    loaded = _load(path)
    observables = {
        f"{channel.name}/{one.name}"
        for channel in config.active_channels
        for one in channel.observables
    }
    for region in loaded["Regions"]:
        _known(path, "observable", region_path(region), observables)
    for sample in loaded["Samples"]:
        processes = sample.get("SamplePath") or sample["Name"]
        if sample.get("Data", False) and not _has_data(config):
            continue
        for process in [processes] if isinstance(processes, str) else processes:
            _known(path, "process", process, config.processes)


def region_path(region: dict[str, Any]) -> str:
    """Channel and observable of a region, as ``channel/observable``."""
    return str(region.get("RegionPath") or f"{region['Name']}/{region.get('Variable', '')}")


def _has_data(config: Config) -> bool:
    return any(one.is_data and one.name in config.processes for one in config.datasets.datasets)


def _known(path: Path, what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        hint = nearest(name, known)
        raise InputError(f"cabinetry configuration {path}: this run has no {what} {name!r}; {hint}")


def cabinetry_config(config: Config, book: Book) -> CabinetryConfig:
    """Read the user's configuration if its file exists, else generate and write one.

    Parameters
    ----------
    config
        ``statistics.cabinetry_config`` names the file; without it a new one is written to
        ``<output_dir>/statistics/cabinetry.yml``.
    book
        What the regions, samples and systematics are made of.

    Raises
    ------
    InputError
        If the file is not a cabinetry configuration.
    """
    book = selected(config, book)
    named = settings(config).cabinetry_config
    if named is None:
        path = config.general.path("output_dir") / "statistics" / "cabinetry.yml"
    else:
        path = config.general.input_path(named)
        if path.exists():
            log.info("cabinetry configuration read from %s", path)
            return _load(path)
    generated = generate(config, book, signal_processes(config, book))
    write_text(path, HEAD + yaml.safe_dump(generated, sort_keys=False, allow_unicode=True))
    log.info("cabinetry configuration written to %s", path)
    return generated


def build_config(config: Config, book: Book, signal: str) -> CabinetryConfig:
    """Cabinetry configuration of one signal, the others left out.

    Parameters
    ----------
    config, book
        As for `cabinetry_config`.
    signal
        One of `signal_processes`.

    Raises
    ------
    InputError
        If the configuration has no sample of that name.
    """
    others = set(signal_processes(config, book)) - {signal}
    result = cabinetry_config(config, book)
    samples = [sample for sample in result["Samples"] if sample["Name"] not in others]
    names = [sample["Name"] for sample in samples]
    if signal not in names:
        raise InputError(f"no sample {signal!r} in the cabinetry configuration; it has {names}")
    result = {**result, "Samples": samples}
    for block in ("NormFactors", "Systematics"):
        result[block] = [_without(entry, others) for entry in result.get(block, [])]
        result[block] = [entry for entry in result[block] if entry.get("Samples") != []]
    return result


def _without(entry: dict[str, Any], others: set[str]) -> dict[str, Any]:
    """Drop the other signals from a modifier."""
    named = entry.get("Samples")
    if named is None:
        return entry
    names = [named] if isinstance(named, str) else named
    return {**entry, "Samples": [name for name in names if name not in others]}


def _load(path: Path) -> CabinetryConfig:
    """Read and validate a cabinetry configuration."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        pruning = loaded.pop("Pruning", {}) if isinstance(loaded, dict) else {}
        configuration.validate(loaded)
    except jsonschema.ValidationError as error:
        best = jsonschema.exceptions.best_match(error.context or [error]) or error  # of anyOf
        where = ".".join(str(part) for part in best.absolute_path) or "top level"
        reason = f"{where}: {best.message}"
    except (OSError, UnicodeDecodeError, yaml.YAMLError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())
    else:
        poi = loaded["General"].get("POI")
        if not poi:
            raise InputError(f"cabinetry configuration {path}: General.POI is missing")
        if poi not in (factor["Name"] for factor in loaded.get("NormFactors", [])):
            raise InputError(f"cabinetry configuration {path}: no NormFactor is the POI {poi!r}")
        try:
            thresholds(pruning)
        except InputError as error:
            raise InputError(f"cabinetry configuration {path}: {error}") from None
        return {**loaded, "Pruning": pruning}
    raise InputError(f"cabinetry configuration {path}: {reason}")

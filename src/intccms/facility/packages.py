"""The user's code and files that functions need on workers, and how they are packed."""

from __future__ import annotations

import importlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from intccms.errors import InputError
from intccms.facility.luggage import digest_of, files_of
from intccms.schema import Config
from intccms.usercode.modules import closure, modules_in

__all__ = ["inputs_of", "modules_of", "packed"]

OURS = ("intccms", "chunkcolumns")
MAX_MB = 100.0


def modules_of(thing: Any) -> tuple[str, ...]:
    """Name the user's modules that the functions of a configuration need.

    Parameters
    ----------
    thing
        A `Config`, or anything made of models, containers and functions. A module's own imports
        from the user's code are followed.
    """
    return tuple(sorted(closure(modules_in(thing))))


def inputs_of(config: Config) -> tuple[str, ...]:
    """Name the correction files and golden JSONs of a configuration, by absolute paths."""
    general = config.general
    named = [
        correction.file
        for year in config.corrections
        for correction in config.corrections_for(year)
        if correction.use_correctionlib
    ]
    for entry in config.datasets.datasets:
        named += [
            value for mask in entry.lumi_mask if mask for value in mask.static_kwargs.values()
        ]
    paths = {general.input_path(str(one)) for one in named if isinstance(one, str | Path) and one}
    return tuple(sorted(str(path) for path in paths if path.is_file()))


def packed(names: Iterable[str]) -> tuple[bytes, dict[str, str]]:
    """Pack packages into a zip file; give it with the digest of each.

    Parameters
    ----------
    names
        Of modules; the whole packages that they belong to are packed.

    Raises
    ------
    InputError
        If one cannot be found, or they are far too large to be code.
    """
    places = {name: _place(name) for name in dict.fromkeys(one.partition(".")[0] for one in names)}
    n_bytes = sum(path.stat().st_size for one in places.values() for path in files_of(one))
    if n_bytes > MAX_MB * 1e6:
        what = ", ".join(str(place) for place in places.values())
        text = f"{n_bytes / 1e6:.0f} MB of code for the workers are too much: {what}"
        raise InputError(f"{text}; keep data out of packages")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for place in places.values():
            for path in files_of(place):
                archive.write(path, path.relative_to(place.parent))
    return buffer.getvalue(), {name: digest_of(place) for name, place in places.items()}


def _place(name: str) -> Path:
    """Folder of a package, or file of a module."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"cannot send {name!r} to the workers: {error}") from error
    folders = list(getattr(module, "__path__", ()))
    place = folders[0] if folders else getattr(module, "__file__", None)
    if place is None:
        raise InputError(f"cannot send {name!r} to the workers: it is not made of files")
    return Path(place).resolve()

"""Which corrections belong in a file, told from the keys that a configuration asks of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from correctionlib import schemav2

from intccms.errors import InputError
from intccms.sample import btag, jets_energy, scale_factors

__all__ = ["correction_set"]

_PILEUP = re.compile(r"goldenJSON|pile-?up", re.IGNORECASE)
_MUON = re.compile(r"^NUM_\w+_DEN_\w+$")
_BTAG = re.compile(r"_shape$")
_JET = re.compile(r"^(?P<campaign>.+?)_(?P<level>[A-Za-z0-9]+)_(?P<algorithm>AK\d+\w+)$")


def correction_set(file: str, keys: Iterable[str]) -> schemav2.CorrectionSet:
    """Make the corrections of one file: whole families, under the names of real files.

    Parameters
    ----------
    file
        Path as the configuration gives it, for the message.
    keys
        Keys that the configuration asks of the file.

    Raises
    ------
    InputError
        If a key is of no known family.
    """
    made: dict[str, schemav2.Correction] = {}
    for key in sorted(set(keys)):
        if key not in made:
            made.update({entry.name: entry for entry in _family(file, key)})
    return schemav2.CorrectionSet(
        schema_version=2,
        description="Synthetic, made by `intccms sample`: not for physics.",
        corrections=[made[name] for name in sorted(made)],
    )


def _family(file: str, key: str) -> list[schemav2.Correction]:
    """Make the family to which a key belongs."""
    if _PILEUP.search(key):
        return [scale_factors.pileup(key)]
    if _MUON.match(key):
        return scale_factors.muons(key)
    if _BTAG.search(key):
        return [btag.shape(key, file)]
    if found := _JET.match(key):
        return jets_energy.family(found["campaign"], found["level"], found["algorithm"])
    raise InputError(
        f"{file}: cannot make a correction called {key!r}; known are pile-up (…_goldenJSON), "
        "muons (NUM_…_DEN_…), jets (<campaign>_<level>_AK4PFchs) and b tags (…_shape)"
    )

"""Which pickles are loaded: those that this user has trained; loading one may run what is in it.

Touches ``$XDG_STATE_HOME/intccms/models``, a file for each model that this user has trained.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from intccms.errors import InputError

__all__ = ["check_trusted", "trust"]

log = logging.getLogger(__name__)

OTHERS_WRITE = 0o022
_trained_here: set[str] = set()  # by this process, which may have no home


def _notes() -> Path:
    """Return the directory with the digests of what this user has trained."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "intccms" / "models"


def trust(content: bytes, folder: Path) -> None:
    """Note that this user has made `content`; nobody else is to write to `folder`, where it is."""
    digest = hashlib.sha256(content).hexdigest()
    _trained_here.add(digest)
    try:
        folder.chmod(folder.stat().st_mode & ~OTHERS_WRITE)
        notes = _notes()
        notes.mkdir(mode=0o700, parents=True, exist_ok=True)
        (notes / digest).touch(mode=0o600)
    except (OSError, RuntimeError) as error:
        log.warning("later runs will not load the model in %s: %s", folder, error)


def check_trusted(path: Path, content: bytes) -> None:
    """Refuse a pickle that somebody else may have made.

    Parameters
    ----------
    path, content
        Where it was found, and what was read there.

    Raises
    ------
    InputError
        With the reason.
    """
    reason = _open_to_others(path) or _open_to_others(path.parent) or _unknown(content)
    if reason:
        raise InputError(
            f"{path} is not loaded, as a pickle may run whatever is in it: {reason}; train it with "
            "general.run_mva_training=True, or take an ONNX model, which holds no code"
        )


def _open_to_others(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if found.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another user"
    return f"others can write to {path}" if found.st_mode & OTHERS_WRITE else ""


def _unknown(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if digest in _trained_here:
        return ""
    try:
        notes = _notes()
        if not (notes / digest).is_file():
            return f"this user has not trained it (no note of it in {notes})"
    except (OSError, RuntimeError) as error:
        return f"what this user has trained cannot be read: {error}"
    return _open_to_others(notes)

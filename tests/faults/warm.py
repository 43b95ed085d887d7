"""What every kernel of the edits has loaded, as nothing of it is the user's: it is forked."""

from __future__ import annotations

import distributed
import numba

from intccms import pipeline
from intccms.analysis import runner

__all__ = ["distributed", "pipeline", "runner", "warmed"]


@numba.njit
def warmed(x: float) -> float:
    """Let the compiler read its own tables, which takes seconds."""
    return x + 1.0


warmed(1.0)

"""Every error that the kit raises on purpose, each with the exit status of the command line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from intccms.redaction import redacted

P = ParamSpec("P")
T = TypeVar("T")

_HERE = str(Path(__file__).parents[1])  # of this package and those beside it


class IntccmsError(Exception):
    """Base of all errors of this package; the command line prints its text as one line."""

    exit_status = 1

    def __str__(self) -> str:
        """Give the text without credentials of URLs."""
        return redacted(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """Give what IPython shows: this text, and where in the user's own code it began."""
        cause = self.__cause__ or self
        frames = traceback.extract_tb(cause.__traceback__) if cause is not self else []
        place = [one for one in frames if not _is_of_others(one.filename)]
        notes = getattr(self, "__notes__", ())
        return [
            f"{type(self).__name__}: {self}",
            *notes,
            *map(str.rstrip, traceback.format_list(place)),
        ]


def _is_of_others(filename: str) -> bool:
    """Whether a user would not look for a mistake in this file: it is ours or of a library."""
    return (
        filename.startswith(_HERE) or "site-packages" in filename or filename.startswith("<frozen")
    )


class InputError(IntccmsError):
    """Something that the user named is wrong: found before anything is written."""

    exit_status = 2


class ConfigError(InputError):
    """A configuration does not validate; the text names the key and the nearest valid one."""


class MissingColumnError(InputError):
    """A branch that the configuration asks for is in no readable file of a dataset."""


class MissingSumsError(MissingColumnError):
    """A skim was made without sums over the events of its origin that are needed now."""


class FunctionError(IntccmsError):
    """A user's function failed or gave an answer of the wrong shape."""


class BadContentError(IntccmsError):
    """A file holds numbers that cannot be right, like a weight that is none; it is damaged."""


class OutputError(IntccmsError, OSError):
    """A file could not be written: the disk is full, read-only or closed to this user."""


class OtherCodeError(IntccmsError):
    """A worker cannot run what was planned, or would run other code."""


class EditedInputError(OtherCodeError):
    """A file that counts for the result was edited while the run went on."""


class SkimWriteError(IntccmsError):
    """A part of a skim could not be written; the reason is its cause."""


class FitError(IntccmsError):
    """A fit or a limit could not be computed; the histograms are kept."""


class FigureError(IntccmsError):
    """Figures could not be drawn; everything else is written."""


class ServiceError(IntccmsError):
    """A service (Rucio, CERN Open Data) cannot be reached, or does not let this user in."""


class WorkerLostError(IntccmsError):
    """The workers that ran an item died or hung, each time.

    What was killed may have been too much for them; what crashed or hung in a function of the user
    is a fault of it.
    """

    end: Literal["killed", "crashed", "hung"] = "killed"
    function = ""  # of the user, that they were in
    trace = ""  # what is known of the place

    @property
    def is_fault(self) -> bool:
        """Whether a function of the user is to blame."""
        return bool(self.function) and self.end != "killed"


class ClusterLostError(WorkerLostError):
    """The connection to the cluster is gone for good; it says nothing about the item."""


class NoWorkersError(IntccmsError):
    """There was no worker for as long as ``general.worker_timeout``; what is finished is kept."""


class IncompleteError(IntccmsError):
    """More input was lost than ``general.max_lost_fraction`` allows; partial results are kept."""

    exit_status = 3


def attempted(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """Call a function; what it raises is the answer.

    For what reads files or calls code of others, which may raise anything, where one that fails
    must not stop the rest.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the one place where any error is an answer
        return error


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name comes closest, for the end of an error message.

    Parameters
    ----------
    name
        What was asked for.
    known
        The valid names.

    Returns
    -------
    str
        ``did you mean 'x'?`` where one is close, else ``known: [...]``.
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {names}"

"""What was planned to run, and whether this process really runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intccms.errors import EditedInputError, OtherCodeError
from intccms.fingerprint import content_digest

__all__ = ["PlannedCode"]

YOURS = "functions, or another version of a package that they use (restart the workers then)"


class PlannedCode:
    """The digests of what decides the sums of each dataset, to be found again where they are made.

    Parameters
    ----------
    digests
        By dataset; those that other processes cannot find in the same way are not there.
    files
        Digests of the files that are part of it, by path.
    versions
        What else is part of it, to be named if it differs.
    found
        Gives digests and versions as they are in the process that calls it.
    """

    def __init__(
        self,
        digests: Mapping[str, str],
        files: Mapping[str, str],
        versions: Mapping[str, str],
        found: Callable[[], tuple[Mapping[str, str], Mapping[str, str]]],
    ) -> None:
        self.digests, self.files = dict(digests), dict(files)
        self.versions, self._found = dict(versions), found
        self._fault: str | None = ""  # None: not looked at in this process

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind that it was looked at: another process has to do it again."""
        return {**self.__dict__, "_fault": None}

    def check(self, dataset: str) -> str:
        """Return the digest of what is run for a dataset.

        Quick but for the first time in a process: later only files are looked at.

        Raises
        ------
        OtherCodeError
            If this process would run something else.
        EditedInputError
            If it would read something else.
        """
        for path, digest in self.files.items():
            _check_file(path, digest)
        if self._fault is None:
            self._fault = self._compared()
        if self._fault:
            raise OtherCodeError(self._fault)
        return self.digests.get(dataset, "")

    def _compared(self) -> str:
        """Say what differs here; empty: nothing."""
        digests, versions = self._found()
        if all(digests.get(name) == digest for name, digest in self.digests.items()):
            return ""
        other = [
            f"{name} is {versions.get(name)} there, {version} here"
            for name, version in self.versions.items()
            if versions.get(name) != version
        ]
        return f"a worker runs other code than was planned: {', '.join(other) or YOURS}"


def _check_file(path: str, digest: str) -> None:
    try:
        is_same = content_digest(path) == digest
    except OSError as error:
        raise EditedInputError(f"a worker cannot read {path}: {error.strerror}") from error
    if not is_same:
        raise EditedInputError(
            f"{path} is not what it was when the run began: start the run again to use what is in "
            "it now"
        )

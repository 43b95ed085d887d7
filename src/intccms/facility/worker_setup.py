"""What arrives on a worker: code, environment, credentials, small input files.

Pickled by value, as the worker need not have this package: imports nothing of it.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin


def files_of(place: Path) -> list[Path]:
    """List the files of a package, or a single module: no caches, nothing hidden."""
    if place.is_file():
        return [place]
    return sorted(
        path
        for path in place.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part.startswith(".") for part in path.relative_to(place).parts)
    )


def digest_of(place: Path) -> str:
    """Identify a package by the names and the contents of its files."""
    digest = hashlib.sha256()
    for path in files_of(place):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(place.parent)}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _is_there(name: str, digest: str) -> bool:
    """Whether this very package can be imported here."""
    with suppress(ImportError, ValueError, AttributeError):
        spec = find_spec(name)
        if spec is not None:
            folders = list(spec.submodule_search_locations or ())
            places = folders or [spec.origin or ""]
            return any(digest_of(Path(place)) == digest for place in places)
    return False


def install_code(archive: bytes, digests: Mapping[str, str], folder: str, *, first: bool) -> None:
    """Make packages importable that are not, or not these.

    Parameters
    ----------
    archive
        A zip file.
    digests
        Of the packages in it, by name.
    folder
        Where to unpack.
    first
        Whether they win over packages of the same name; else only what is absent is brought.
    """
    missing = {
        name
        for name, digest in digests.items()
        if not (_is_there(name, digest) if first else find_spec(name))
    }
    if not missing:
        return
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        for member in packed.namelist():
            if member.partition("/")[0].removesuffix(".py") in missing:
                packed.extract(member, folder)
    if folder not in sys.path:
        sys.path.insert(0 if first else len(sys.path), folder)
    importlib.invalidate_caches()
    for module in list(sys.modules):
        if module.partition(".")[0] in missing:
            del sys.modules[module]


def install_on_scheduler(
    archive: bytes, digests: Mapping[str, str], dask_scheduler: Any = None
) -> None:
    """Make packages importable in a scheduler that has none of these names."""
    folder = Path(dask_scheduler.local_directory) / "intccms-code"
    install_code(archive, digests, str(folder), first=False)


def failed_imports(names: Sequence[str]) -> dict[str, str]:
    """Import modules; return those that fail, with the reason."""
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


class WorkerSetup(WorkerPlugin):
    """Unpacked by every worker before its first task, also by those that come later.

    Parameters
    ----------
    name
        One for each connection.
    code
        Archive and digests, as for `install_code`.
    environment
        Variables to set; the values appear in no log.
    files
        Variable → content: each is written to a file that only its owner can read, and the
        variable names it.
    inputs
        Absolute path → content, for workers that do not see that file.
    """

    def __init__(
        self,
        name: str,
        code: tuple[bytes, Mapping[str, str]],
        *,
        environment: Mapping[str, str],
        files: Mapping[str, bytes],
        inputs: Mapping[str, bytes],
    ) -> None:
        self.name = name
        self.archive, self.digests = code[0], dict(code[1])
        self.environment, self.files = dict(environment), dict(files)
        self.inputs = dict(inputs)
        self._before: dict[str, str | None] = {}
        self._written: list[Path] = []

    def setup(self, worker: Any) -> None:
        """Unpack."""
        folder = Path(worker.local_directory) / self.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        install_code(self.archive, self.digests, str(folder / "code"), first=True)
        environment = dict(self.environment)
        for variable, content in self.files.items():
            path = folder / variable.lower()
            path.unlink(missing_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(content)
            self._written.append(path)
            environment[variable] = str(path)
        for name, content in self.inputs.items():
            path = Path(name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                aside = path.with_name(f".{path.name}.{os.getpid()}")
                aside.write_bytes(content)
                aside.replace(path)  # several workers of one host may do this
                self._written.append(path)
        self._before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 - the signature is Dask's
        """Take credentials and variables away again; code stays."""
        for path in self._written:
            path.unlink(missing_ok=True)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

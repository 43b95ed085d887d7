"""Code, files, credentials and variables for the workers of a client, and what is checked first."""

from __future__ import annotations

import importlib
import io
import logging
import platform
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import cloudpickle
from distributed import Client, PipInstall
from distributed.diagnostics.plugin import ForwardOutput

from intccms.errors import InputError, IntccmsError
from intccms.facility import worker_setup
from intccms.facility.credentials import Credential, find_credentials, worker_environment
from intccms.facility.sites import Facility
from intccms.facility.worker_setup import WorkerSetup, digest_of, files_of
from intccms.schema import Config
from intccms.usercode.modules import closure, modules_in

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


log = logging.getLogger(__name__)

PACKAGES = (
    "awkward", "cloudpickle", "coffea", "correctionlib", "dask", "distributed", "hist", "numpy",
    "uproot",
)  # fmt: skip
# What a scheduler touches itself; tasks only pass through it.
OF_SCHEDULER = ("python", "cloudpickle", "dask", "distributed")
# Leading numbers of a version that must agree; others may differ, which is told.
DIGITS = {"python": 2, "distributed": 2, "dask": 2, "awkward": 1, "coffea": 1, "numpy": 1,
          "uproot": 1, "cloudpickle": 1}  # fmt: skip


@dataclass(frozen=True)
class Mismatch:
    """One package that is not the same everywhere."""

    package: str
    where: str  # "scheduler", or the address of a worker and how many are like it
    here: str
    there: str  # "absent" if it is not installed
    severity: Literal["error", "warning"]

    def __str__(self) -> str:
        """Say it in one phrase."""
        return f"{self.package} is {self.here} here, {self.there} on {self.where}"


def version_mismatches(client: Client) -> list[Mismatch]:
    """Compare the versions of client, scheduler and the workers that are there."""
    versions: Any = client.get_versions(check=False, packages=PACKAGES)
    here = _versions(versions["client"])
    found = list(_compared(here, _versions(versions["scheduler"]), "the scheduler", OF_SCHEDULER))
    alike: dict[tuple[Mismatch, ...], list[str]] = {}
    for address, answer in versions["workers"].items():
        differing = tuple(_compared(here, _versions(answer), "", ("python", *PACKAGES)))
        alike.setdefault(differing, []).append(address)
    for differing, addresses in alike.items():
        more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
        where = f"worker {addresses[0]}{more}"
        found += [Mismatch(m.package, where, m.here, m.there, m.severity) for m in differing]
    return found


def check_versions(client: Client) -> None:
    """Warn of versions that differ.

    Raises
    ------
    InputError
        If they differ so much that functions or data cannot be handed over.
    """
    found = version_mismatches(client)
    errors = [str(one) for one in found if one.severity == "error"]
    if errors:
        advice = "use one environment for all (see docs/facilities.md)"
        raise InputError(f"versions do not fit: {'; '.join(errors)}; {advice}")
    for one in found:
        log.warning("%s", one)


def _versions(answer: Mapping[str, Any] | None) -> dict[str, str | None]:
    if not answer:
        return {}
    python = ".".join(answer["host"]["python"].split(".")[:3])
    return {**answer["packages"], "python": python}


def _compared(
    here: Mapping[str, str | None],
    there: Mapping[str, str | None],
    where: str,
    names: tuple[str, ...],
) -> Iterator[Mismatch]:
    for name in names if there else ():
        ours, theirs = here.get(name), there.get(name)
        if ours is None or ours == theirs:
            continue
        n = DIGITS.get(name, 0)
        apart = theirs is None or ours.split(".")[:n] != theirs.split(".")[:n]
        severity: Literal["error", "warning"] = "error" if apart else "warning"
        yield Mismatch(name, where, ours, theirs or "absent", severity)


# What processing a chunk needs beside our own and the user's modules.
MAX_INPUTS_MB = 200.0
IMPORTS = ("awkward", "coffea.nanoevents", "correctionlib", "hist", "uproot")


@dataclass(frozen=True)
class Upload:
    """What the user wants on the workers.

    Parameters
    ----------
    modules
        Of the user; the whole packages that they belong to are sent.
    inputs
        Files that get the same path on workers which lack them, until the connection ends.
    pip
        Requirements that each worker installs.
    environment
        Variables; they win over those of ``.env``.
    proxy, token
        Files of an X509 proxy and a bearer token; None: those at the usual places, False: none.
    forward_logs
        Show the workers' output and logs here.
    patience_s
        How long a first worker may take to come; None: the facility's default.
    check
        Compare versions and try the imports, before anything is run.
    """

    modules: Sequence[str] = ()
    inputs: Sequence[str | Path] = ()
    pip: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    proxy: str | Path | bool | None = None
    token: str | Path | bool | None = None
    forward_logs: bool = False
    patience_s: float | None = None
    check: bool = True

    def prepare(self, facility: Facility) -> WorkerSetup:
        """Put together what every worker gets.

        Raises
        ------
        InputError
            If something is not there, or has expired.
        """
        environment = worker_environment(self.environment)
        wanted = [*self.modules] if facility.is_here else [*OURS, *self.modules]
        inputs = {} if facility.is_here else _contents(self.inputs)
        files = {}
        for one in self._credentials(facility):
            files[one.variable] = one.content
        if environment:
            log.info("sent to the workers as environment: %s", ", ".join(sorted(environment)))
        name = f"intccms-upload-{uuid4().hex}"
        code = packed(wanted)
        return WorkerSetup(name, code, environment=environment, files=files, inputs=inputs)

    def _credentials(self, facility: Facility) -> Iterator[Credential]:
        is_wanted = self.proxy or self.token
        if facility.is_here and not is_wanted:  # workers see the same files
            return
        found = find_credentials(facility.token_files, proxy=self.proxy, token=self.token)
        for one in found:
            try:
                one.check()
            except InputError as error:
                if one.is_named:
                    raise
                log.warning("%s; it is not sent to the workers", error)
            else:
                log.info("%s %s is sent to the workers", one.kind, one.origin)
                yield one


def _contents(paths: Sequence[str | Path]) -> dict[str, bytes]:
    n_bytes = sum(Path(path).stat().st_size for path in paths)
    if n_bytes > MAX_INPUTS_MB * 1e6:
        log.warning("%.0f MB of input files are too much to send to each worker", n_bytes / 1e6)
        return {}
    return {str(Path(path).absolute()): Path(path).read_bytes() for path in paths}


@contextmanager
def uploaded(
    client: Client, upload: Upload, setup: WorkerSetup, facility: Facility
) -> Iterator[None]:
    """Have `setup` on all workers of a client, also on those that come later, within the block.

    Raises
    ------
    InputError
        If versions do not fit, or a worker cannot install or import what it needs.
    IntccmsError
        If no worker comes.
    """
    is_checked = upload.check and not facility.is_here
    if is_checked:
        _wait_for_worker(client, upload.patience_s or facility.patience_s)
        check_versions(client)
    with _by_value():
        _register(client, setup, "cannot unpack what was sent")
        with suppress(Exception):  # a courtesy for our pages and counters; no task needs it
            client.run_on_scheduler(worker_setup.install_on_scheduler, setup.archive, setup.digests)
    try:
        if upload.pip:
            _register(client, PipInstall(list(upload.pip)), f"cannot install {upload.pip}")
        if upload.forward_logs:
            _register(client, ForwardOutput(), "cannot forward output")
            client.forward_logging()
        if is_checked:
            _check_imports(client, [*setup.digests, *upload.modules, *IMPORTS])
        yield
    finally:
        with suppress(Exception):  # the scheduler may be gone: there is nothing to take away then
            if client.status == "running":
                client.unregister_worker_plugin(setup.name)


def _wait_for_worker(client: Client, patience_s: float) -> None:
    """Wait until a worker has run something; an adaptive cluster starts none before."""
    if not client.nthreads():
        log.warning("waiting for a first worker, up to %g s", patience_s)
    try:
        client.submit(platform.python_version, pure=False).result(timeout=patience_s)
    except TimeoutError:
        where = client.scheduler.address if client.scheduler else "the scheduler"
        text = f"no worker has come to {where} within {patience_s:g} s"
        raise IntccmsError(f"{text}; look at the queue and the logs of its jobs") from None


@contextmanager
def _by_value() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(worker_setup)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(worker_setup)


def _register(client: Client, plugin: Any, what: str) -> None:
    try:
        client.register_plugin(plugin)
    except Exception as error:  # whatever happened on a worker
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the workers {what}: {text}") from error


def _check_imports(client: Client, names: Sequence[str]) -> None:
    with _by_value():
        answers: dict[str, Any] = client.run(
            worker_setup.failed_imports, list(dict.fromkeys(names)), on_error="return"
        )
    failed = {address: answer for address, answer in answers.items() if answer}
    if not failed:
        return
    address, answer = next(iter(failed.items()))
    if isinstance(answer, dict):
        answer = "; ".join(f"{name}: {why}" for name, why in answer.items())
    text = f"{len(failed)} of {len(answers)} workers cannot import what the run needs"
    advice = "install it there, or send it: modules=[…] for your own code, pip=[…] for packages"
    raise InputError(f"{text}, e.g. {address}: {answer}; {advice}")

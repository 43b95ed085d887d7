"""Print pip constraints that hold the versions of `pixi.lock`, for `make test-locked`.

    python tools/locked_versions.py pyproject.toml pixi.lock > constraints.txt

Only what `pyproject.toml` names is pinned; the rest follows. Needs nothing but Python, because
it runs before anything is installed.
"""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from pathlib import Path

CONDA_NAMES = {"matplotlib": "matplotlib-base"}
# The client library of the conda package is a part of another release than PyPI's wheels.
NOT_PINNED = {"xrootd"}


def normalised(name: str) -> str:
    """Spell a package name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(pyproject: Path) -> list[str]:
    """Names of all packages that the project or one of its extras asks for."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project["optional-dependencies"].values()
    specs = [*project["dependencies"], *(spec for extra in extras for spec in extra)]
    return sorted({normalised(re.match(r"[\w.-]+", spec).group()) for spec in specs})


def locked(lock: Path, environment: str, subdir: str) -> dict[str, str]:
    """Version of each package that one environment has on one platform."""
    rows = re.search(
        rf"^  {environment}:\n.*?^      {subdir}:\n((?:      - [^\n]*\n)+)",
        lock.read_text(),
        re.MULTILINE | re.DOTALL,
    ).group(1)
    files = [line.rsplit("/", 1)[1] for line in rows.splitlines()]
    parts = [name.rsplit("-", 2) for name in files]
    return {normalised(name): version for name, version, _ in parts}


def main() -> int:
    """Write the constraints to standard output."""
    subdir = "osx-arm64" if platform.system() == "Darwin" else "linux-64"
    versions = locked(Path(sys.argv[2]), "dev", subdir)
    for name in wanted(Path(sys.argv[1])):
        version = versions.get(CONDA_NAMES.get(name, name))
        if version and name not in NOT_PINNED:
            sys.stdout.write(f"{name}=={version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

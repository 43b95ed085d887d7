"""``pytest --nbval-lax notebooks/`` works by itself: a sample is made, and is what is looked at."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tools.references import NOTEBOOKS, PARAMETERS, write_sample

FOLDER = pytest.StashKey[Path]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Give the kit's own notebooks, with the parameters that they have in git, the sample."""
    cells = [one for one in items if one.path in NOTEBOOKS and hasattr(one, "cell")]
    ours = [one for one in cells if "parameters" in one.cell.metadata.get("tags", ())]
    ours = [one for one in ours if 'base_dir: str = ""' in one.cell.source]
    if not ours or config.option.collectonly:
        return
    folder = config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="notebooks-"))
    write_sample(folder / "sample")
    for one in ours:
        where = {"base_dir": str(folder / "sample"), "output_dir": str(folder / one.path.stem)}
        given = [f"{name} = {value!r}" for name, value in (PARAMETERS | where).items()]
        one.cell.source = "\n".join([one.cell.source, *given])
    for one in cells:
        one.cell.execution_count = 1  # nbval asks for one, nbstripout keeps none


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the sample and the results away."""
    if FOLDER in config.stash:
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)

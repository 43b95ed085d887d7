"""Which file a configuration module is: what stands in the working directory wins."""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import intccms
from intccms.errors import ConfigError

__all__ = ["examples_folder", "import_here"]

log = logging.getLogger(__name__)


def examples_folder() -> Path:
    """Folder of the examples that come with this package: the checkout, or what was installed."""
    installed = Path(intccms.__file__).parent / "examples"
    return installed if installed.is_dir() else Path(intccms.__file__).resolve().parents[2]


def import_here(name: str) -> ModuleType:
    """Import a module by its place.

    It is looked for in the working directory, then along Python's path, then in the directories
    above the working directory (a notebook may stand below the analysis), then among the examples
    of this package. A folder without ``__init__.py`` counts as a package: Python alone would
    prefer a package of the same name from anywhere else.

    Parameters
    ----------
    name
        Full name, such as ``example_opendata.configs.configuration``.

    Raises
    ------
    ConfigError
        If a module that is not the user's own was imported under its first name.
    ImportError
        If there is no such module.
    """
    parts = name.split(".")
    found = dict.fromkeys(one for one in _folders() if _file_in(one, parts) is not None)
    if not found:
        return importlib.import_module(name)  # built in, or a library: nothing to look for
    folder, *others = found
    if others:
        log.warning(
            "the configuration %s is that in %s; another of this name in %s is not used",
            name, folder, others[0],
        )  # fmt: skip
    _forget_others(parts[0], folder)
    if str(folder) not in sys.path and not (folder == Path.cwd() and "" in sys.path):
        # what is not in the working directory must not hide what Python finds by itself
        sys.path.insert(0 if folder == Path.cwd() else len(sys.path), str(folder))
    importlib.invalidate_caches()
    if parts[0] not in sys.modules and _is_plain_folder(folder / parts[0]):
        spec = ModuleSpec(parts[0], None, is_package=True)
        spec.submodule_search_locations = [str(folder / parts[0])]
        sys.modules[parts[0]] = importlib.util.module_from_spec(spec)
    return importlib.import_module(name)


def _folders() -> Iterator[Path]:
    """Yield where a configuration may be, the first wins."""
    here = Path.cwd()
    yield here
    yield from (Path(one).resolve() for one in sys.path if one and Path(one).is_dir())
    yield from here.parents
    yield examples_folder()


def _file_in(folder: Path, parts: list[str]) -> Path | None:
    base = folder.joinpath(*parts)
    places = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((one for one in places if one.is_file()), None)


def _is_plain_folder(place: Path) -> bool:
    return place.is_dir() and not (place / "__init__.py").exists()


def _forget_others(top: str, folder: Path) -> None:
    """Drop modules of the same name that were imported from another place."""
    loaded = sys.modules.get(top)
    if loaded is None:
        return
    places = [*getattr(loaded, "__path__", ()), getattr(loaded, "__file__", None) or ""]
    ours = {folder / top, folder / f"{top}.py", folder / top / "__init__.py"}
    if any(one and Path(one).resolve() in {own.resolve() for own in ours} for one in places):
        return
    if top in sys.stdlib_module_names or any("site-packages" in str(one) for one in places):
        raise ConfigError(
            f"{folder / top} has the name of a module of Python or of an installed package; "
            "give it another name"
        )
    for name in [one for one in sys.modules if one == top or one.startswith(f"{top}.")]:
        del sys.modules[name]

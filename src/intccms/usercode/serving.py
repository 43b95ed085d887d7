"""Imports the user's modules from texts that are at hand, not from files.

So a module is made of exactly the text that was looked at, and workers need not have the files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from intccms.usercode.modules import Source

__all__ = ["Shelf", "forget", "serve"]


class _Loader(SourceFileLoader):
    """Knows the text, and uses no byte code that Python has kept."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, source.path)
        self.text = source.text

    def get_data(self, path: str) -> bytes:
        """Give the text; other files of the package are read."""
        return self.text if path == self.path else super().get_data(path)

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Refuse, so that no byte code is looked for."""
        raise OSError(path)


class Shelf(MetaPathFinder):
    """Finds modules among `sources`."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = dict(sources)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the signature is Python's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        source = self.sources.get(fullname)
        if source is None:
            return None
        folders = [str(Path(source.path).parent)] if source.is_package else None
        return spec_from_file_location(
            fullname,
            source.path,
            loader=_Loader(fullname, source),
            submodule_search_locations=folders,
        )


def forget(names: Iterable[str]) -> dict[str, ModuleType]:
    """Take modules away, so that they are imported anew; return those that were there."""
    gone = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    for name, module in gone.items():
        parent, _, child = name.rpartition(".")
        around = sys.modules.get(parent)  # ``from parent import child`` looks there first
        if around is not None and vars(around).get(child) is module:
            delattr(around, child)
    return gone


_shelf = Shelf({})


def serve(sources: Mapping[str, Source], *, anew: bool = False) -> None:
    """Let this process import these modules from now on, and no others of their names.

    Parameters
    ----------
    sources
        By name; those that were served before are taken away.
    anew
        Whether they are run again even if they were made of these very texts.
    """
    if not anew and _shelf.sources == sources:
        return
    forget({*_shelf.sources, *sources})
    _shelf.sources = dict(sources)
    if _shelf not in sys.meta_path:
        sys.meta_path.insert(0, _shelf)

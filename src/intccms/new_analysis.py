"""The beginning of an analysis: a package of the user's own that runs. Writes one folder."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Any

import awkward as ak
import numpy as np
import uproot

from intccms.errors import InputError, OutputError, nearest
from intccms.schema import examples_folder
from intccms.storage import write_bytes

EXAMPLES = ("example_opendata", "example_cms")
WEIGHTS = ("genWeight", "Generator_weight")
METS = ("PuppiMET", "MET", "PFMET")
COLLECTIONS = ("Muon", "Electron", "Tau", "Photon", "Jet", "FatJet")  # the first that is there
BOOKKEEPING = ("run", "luminosityBlock", "event", "bunchCrossing")
LOOKED_AT = 20_000  # events from which the binnings are made
N_BINS = 25


def from_example(name: str, parent: Path, example: str = EXAMPLES[0]) -> Path:
    """Copy an example under another name; the copy reads and writes below its own folder.

    Parameters
    ----------
    name
        Of the new package.
    parent
        Where its folder is made.
    example
        Name of an example that comes with this package.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    InputError
        If there is no such example, the name cannot be used, or something of this name is there.
    OutputError
        If it cannot be written; nothing half-made is left.
    """
    if example not in EXAMPLES:
        raise InputError(f"no example {example!r}; {nearest(example, EXAMPLES)}")
    _check_name(name, parent)
    source, files = examples_folder() / example, {}
    for path in source.rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".txt", ".lock"):
            content = path.read_bytes()
            if path.suffix in (".py", ".yaml", ".md"):
                content = re.sub(rf"\b{example}\b".encode(), name.encode(), content)
            files[str(path.relative_to(source))] = content
    return _written(parent / name, files)


def from_file(name: str, parent: Path, file: str) -> Path:
    """Write a configuration for the columns of a file: one process, one channel, a few plots.

    Parameters
    ----------
    name
        Of the new package.
    parent
        Where its folder is made.
    file
        Path or URL of a ROOT file with a TTree or an RNTuple of events.

    Returns
    -------
    Path
        The new folder: ``configs/configuration.py``, ``configs/functions.py`` and a listing, to
        which more files can be added.

    Raises
    ------
    InputError
        If the file cannot be read or holds nothing to draw, or the name cannot be used.
    """
    _check_name(name, parent)
    found = _look(file)
    texts = {
        f"datasets/{found.process}/files.txt": f"# One file a line; add yours.\n{found.place}\n",
        "__init__.py": f'"""Analysis of {found.process}."""\n',
        "configs/__init__.py": '"""What is selected and drawn."""\n',
        "configs/functions.py": FUNCTIONS,
        "configs/configuration.py": found.configuration(name),
    }
    return _written(parent / name, {path: text.encode() for path, text in texts.items()})


def _check_name(name: str, parent: Path) -> None:
    if not name.isidentifier() or iskeyword(name):
        raise InputError(f"{name!r} cannot be the name of a Python package; try letters and _")
    if (parent / name).exists():
        raise InputError(f"{parent / name} is there already; choose another name or remove it")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise InputError(f"{name!r} is the name of a package that is installed; choose another")


def _written(folder: Path, files: dict[str, bytes]) -> Path:
    """Make a folder with all files, or none."""
    try:
        for path, content in files.items():
            write_bytes(folder / path, content)
    except OutputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


@dataclass(frozen=True)
class _Observable:
    """A histogram of one number per event."""

    name: str
    function: str
    column: tuple[str, str]
    binning: str

    def __str__(self) -> str:
        collection, field = self.column
        lines = [
            f'"name": "{self.name}"',
            f'"binning": "{self.binning}"',
            f'"function": {self.function}',
            f'"use": [("{collection}", "{field}")]',
        ]
        return "    {\n" + "".join(f"        {line},\n" for line in lines) + "    },\n"


@dataclass(frozen=True)
class _Found:
    """What was seen in a file."""

    place: str
    process: str
    tree_name: str
    weight: str | None
    collection: str | None
    observables: list[_Observable]

    def configuration(self, package: str) -> str:
        """Write the module."""
        selection = "None"
        if self.collection:
            use = f'[("{self.collection}", "pt")]'
            selection = f'{{"function": at_least_one, "use": {use}}}'
        functions = {one.function for one in self.observables}
        functions |= {"at_least_one"} if self.collection else set()
        without = "  # no generator weight in the file: taken as collision data"
        return CONFIGURATION.substitute(
            process=self.process,
            functions=", ".join(sorted(functions)),
            observables="".join(map(str, self.observables)),
            weight=self.weight or WEIGHTS[0],
            directory=f"{package}/datasets/{self.process}/",
            tree_name=self.tree_name,
            is_data=f"{self.weight is None},{without if self.weight is None else ''}",
            fitted=self.observables[0].name,
            selection=selection,
        )


def _look(file: str) -> _Found:
    """Find tree, weight, objects and ranges."""
    place = file if "://" in file else str(Path(file).expanduser().absolute())
    try:
        with uproot.open(place) as opened:
            tree_name, tree = _tree(opened, place)
            columns = {name: _column(tree, name) for name in tree.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"cannot read {place}: {text}") from error
    columns = {name: values for name, values in columns.items() if values is not None}
    observables = list(_observables(columns))
    if not observables:
        raise InputError(f"{place}: no column of {tree_name!r} can be drawn")
    jagged = (one for one in COLLECTIONS if _is_list(columns.get(f"{one}_pt")))
    stem = re.sub(r"\W+", "_", Path(place).stem).strip("_") or "events"
    weight = next((one for one in WEIGHTS if one in columns), None)
    return _Found(place, stem, tree_name, weight, next(jagged, None), observables)


def _tree(opened: Any, place: str) -> tuple[str, Any]:
    """Return the tree called Events, or the only one."""
    classes = opened.classnames(recursive=False, cycle=False)
    names = [n for n, kind in classes.items() if kind in ("TTree", "ROOT::RNTuple")]
    name = "Events" if "Events" in names else names[0] if len(names) == 1 else None
    if name is None:
        held = ", ".join(classes) or "nothing"
        raise InputError(f"{place} has no tree 'Events'; it holds {held}")
    return name, opened[name]


def _column(tree: Any, name: str) -> Any:
    """Read the beginning of a column that may be drawn; None: it may not."""
    is_shown = name in (*WEIGHTS, *(f"{one}_pt" for one in (*METS, *COLLECTIONS)))
    if not is_shown and ("_" in name or name in BOOKKEEPING):
        return None
    try:
        return tree[name].array(entry_stop=LOOKED_AT)
    except (NotImplementedError, ValueError, TypeError):
        return None


def _is_list(values: Any) -> bool:
    return values is not None and values.ndim == 2


def _observables(columns: dict[str, Any]) -> Iterator[_Observable]:
    """Yield leading momentum, numbers of objects, missing momentum; else whatever is flat."""
    objects = [one for one in COLLECTIONS if _is_list(columns.get(f"{one}_pt"))]
    for one in objects[:1]:  # of which the channel asks for one
        binning = _binning(ak.max(columns[f"{one}_pt"], axis=1))
        yield _Observable(f"{one.lower()}_pt", "leading", (one, "pt"), binning)
    for one in objects:
        yield _Observable(f"n_{one.lower()}", "number", (one, "pt"), "-0.5,9.5,10")
    mets = [one for one in METS if f"{one}_pt" in columns]
    for one in mets:
        values = columns[f"{one}_pt"]
        yield _Observable(f"{one.lower()}_pt", "itself", (one, "pt"), _binning(values))
    if objects or mets:
        return
    for name, values in columns.items():
        if values.ndim == 1 and name not in WEIGHTS:
            yield _Observable(name.lower(), "itself", ("event", name), _binning(values))


def _binning(values: Any) -> str:
    """Choose round edges around nearly all values."""
    numbers = ak.to_numpy(ak.drop_none(values)).astype(float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = np.quantile(numbers, [0.005, 0.995]) if len(numbers) else (0.0, 1.0)
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9)))
    low, high = min(np.floor(low / step) * step, 0.0 if low >= 0 else low), high + step
    return f"{low:g},{np.ceil(high / step) * step:g},{N_BINS}"


FUNCTIONS = '''"""Functions of the columns that `configuration` names in `use`."""

from __future__ import annotations

import awkward as ak


def at_least_one(pt: ak.Array, *, pt_min_gev: float = 20.0) -> ak.Array:
    """Events with an object above `pt_min_gev`."""
    return ak.any(pt > pt_min_gev, axis=1)


def leading(pt: ak.Array) -> ak.Array:
    """Largest momentum of an event in GeV; the selection has seen to it that there is one."""
    return ak.max(pt, axis=1)


def number(pt: ak.Array) -> ak.Array:
    """How many objects an event has."""
    return ak.num(pt, axis=1)


def itself(values: ak.Array) -> ak.Array:
    """The column as it is."""
    return values
'''

CONFIGURATION = Template('''"""The analysis: `config`. Files are listed in the folder `datasets`."""

from __future__ import annotations

from typing import Any

from .functions import $functions

OBSERVABLES: list[dict[str, Any]] = [
$observables]

config: dict[str, Any] = {
    "general": {
        "lumi": 1.0,  # integrated luminosity in 1/pb
        "weight_branch": "$weight",
        "output_dir": "outputs/$process",
        "run_statistics": False,  # needs a signal
    },
    "datasets": {
        "datasets": [
            {
                "name": "$process",
                "directories": "$directory",
                "file_pattern": "*.txt",
                "tree_name": "$tree_name",
                "cross_sections": 1.0,  # in pb
                "is_data": $is_data
            },
        ],
    },
    "channels": [
        {
            "name": "all",
            "fit_observable": "$fitted",
            "observables": OBSERVABLES,
            "selection": $selection,
        },
    ],
}
''')

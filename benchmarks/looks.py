"""Twenty edits in one session, each with what its look takes: ``python -m benchmarks.looks``.

Makes an analysis of its own from the example and a sample for it, looks once, then edits a file,
looks again and so on. Beside each is whether a clean run, in a process of its own and in an empty
directory, gives the same bits. Also how long a hand-written coffea processor takes on these files
is in ``python -m benchmarks --rows hand``.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from intccms import notebook
from intccms.histograms import Book
from intccms.new_analysis import from_example

NAME = "looked_at"
CONFIG = f"{NAME}.configs.configuration:config"


@dataclass(frozen=True)
class Edit:
    """A text in a file of the analysis, and what takes its place."""

    what: str
    file: str
    old: str
    new: str


EDITS = (
    Edit("nothing", "configuration", "", ""),
    Edit("a label", "configuration", "$ [GeV]", "$ in GeV"),
    Edit("a colour", "plotting", "#3f90da", "#3f90ff"),
    Edit("the luminosity", "configuration", "16393.4", "16400.0"),
    Edit("a setting of the fit", "configuration", '"rebin": 10', '"rebin": 5'),
    Edit("a binning", "configuration", '"200,3000,20"', '"200,3000,28"'),
    Edit("another binning", "configuration", '"0,200,20"', '"0,100,20"'),
    Edit("another observable", "configuration", "[WORKSHOP_MTT, MTT_CHI2, CHI2]", "[WORKSHOP_MTT]"),
    Edit("and back", "configuration", "[WORKSHOP_MTT],", "[WORKSHOP_MTT, MTT_CHI2, CHI2],"),
    Edit(
        "a cut of the channel",
        "cuts",
        "lepton_ht_min: float = 150.0",
        "lepton_ht_min: float = 170.0",
    ),
    Edit(
        "another",
        "cuts",
        "met_min: float = 50.0,\n    lepton",
        "met_min: float = 60.0,\n    lepton",
    ),
    Edit("a word in a docstring", "cuts", "Select the signal region", "The signal region"),
    Edit("the muons", "cuts", "pt_min: float = 55.0", "pt_min: float = 60.0"),
    Edit("the jets", "cuts", "btag_min: float = 0.5", "btag_min: float = 0.6"),
    Edit("the large jets", "cuts", "pt_min: float = 500.0", "pt_min: float = 450.0"),
    Edit("the baseline", "cuts", "axis=1) >= 2", "axis=1) >= 3"),
    Edit(
        "the function of an observable",
        "observables",
        "return ttbar_reco.chi2",
        "return ttbar_reco.chi2 + 1",
    ),
    Edit("a rate", "corrections", "constant(1.012)", "constant(1.02)"),
    Edit("fewer sources", "corrections", '    "TimePtEta",\n', ""),
    Edit("all cuts as they were", "cuts", "pt_min: float = 450.0", "pt_min: float = 500.0"),
    Edit(
        "the skim selection",
        "cuts",
        "met_pt: ak.Array, *, met_min: float = 50.0",
        "met_pt: ak.Array, *, met_min: float = 55.0",
    ),
)
CLEAN = """
import sys
from benchmarks.looks import CONFIG, digest
from intccms.analysis import runner
from intccms.schema import load_config
base, out = sys.argv[1:]
wanted = [f"general.base_dir={base}", f"general.output_dir={out}", "general.executor=futures"]
print(digest(runner.run(load_config(CONFIG, wanted)).histograms))
"""


def digest(book: Book) -> str:
    """Digest every bit of the histograms."""
    found = hashlib.sha256()
    for place, histogram in sorted(book.histograms.items()):
        found.update(repr((place, [list(axis) for axis in histogram.axes[1:]])).encode())
        found.update(histogram.view(flow=True).tobytes())
    return found.hexdigest()


def cpu_s() -> float:
    """CPU seconds of this process and its children so far."""
    me = psutil.Process()
    times = [one.cpu_times() for one in (me, *me.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def main(arguments: list[str] | None = None) -> int:
    """Edit, look, compare; return 1 if bits differ."""
    asked = _arguments().parse_args(arguments)
    folder = asked.data.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(folder))
    if not (folder / NAME).exists():
        from_example(NAME, folder)
    sample, per_file = folder / f"sample{asked.events}", min(asked.events // 12, 500_000)
    if not sample.exists():
        options = ["--files-per-process", str(asked.events // per_file // 6)]
        command = ["sample", "--config", CONFIG, "--out", str(sample), *options]
        _run(["-m", "intccms", *command, "--events-per-file", str(per_file)], folder)
    table = Table("edit", "wall s", "CPU s", "same bits", "what was used again")
    texts = {path: path.read_text() for path in (folder / NAME / "configs").glob("*.py")}
    is_good = True
    try:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            session = None
            for number, edit in enumerate((None, *EDITS)):
                if edit is not None:
                    path = folder / NAME / "configs" / f"{edit.file}.py"
                    text = path.read_text()
                    if edit.old not in text:
                        raise ValueError(f"{edit.old!r} is not in {path}")
                    path.write_text(text.replace(edit.old, edit.new, 1) if edit.old else text)
                said, since, cpu = StringIO(), time.perf_counter(), cpu_s()
                with redirect_stdout(said), redirect_stderr(StringIO()):
                    if session is None:
                        session = notebook.setup(
                            CONFIG,
                            [f"general.executor={asked.executor}"],
                            base_dir=str(sample),
                            output_dir=f"{out}/run",
                        )
                        session.count_files()
                        session.process()
                    else:
                        session.look()
                took = time.perf_counter() - since, cpu_s() - cpu
                book = session.stages.result.book
                assert book is not None
                clean = _run(["-c", CLEAN, str(sample), f"{out}/clean{number}"], folder)
                same = clean.split()[-1] == digest(book)
                is_good = is_good and same
                line = next((one for one in said.getvalue().splitlines() if "; " in one), "")
                what = "first look" if edit is None else edit.what
                used = line.partition("; ")[2]
                row = (what, f"{took[0]:.2f}", f"{took[1]:.2f}", "yes" if same else "NO", used)
                table.add_row(*row)
                Console(width=120).print("  ".join(row))
    finally:
        for path, text in texts.items():
            path.write_text(text)
    Console(width=120).print(table)
    return 0 if is_good else 1


def _run(arguments: list[str], folder: Path) -> str:
    """Run Python in a process of its own, with the packages of this one and of `folder`."""
    paths = [str(folder), *(one for one in sys.path if one)]
    begin = f"import sys; sys.path[:0] = {paths!r}\n"
    if arguments[0] == "-c":
        arguments = ["-c", begin + arguments[1], *arguments[2:]]
    else:
        module = f"import runpy; runpy.run_module({arguments[1]!r}, run_name='__main__')"
        arguments = ["-c", begin + module, *arguments[2:]]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looks", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("outputs/looks"))
    parser.add_argument("--events", type=int, default=600_000, help="in the sample")
    parser.add_argument("--executor", default="dask", choices=("dask", "futures", "iterative"))
    return parser


if __name__ == "__main__":
    sys.exit(main())

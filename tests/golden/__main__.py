"""Digests of what the reference runs give, to the last bit: a rebuilding changes none of them.

``python -m tests.golden`` compares with what is stored and names what differs (exit status 1);
``--write`` stores instead, which only a commit does that means to change a result. Runs are made
by the command line, so that nothing here knows how the library is built. The digests hold for one
machine and one environment: store them with the last commit that is known to be right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import awkward as ak
import numpy as np
import uproot
from matplotlib.figure import Figure

from intccms.cli import main
from tests.configurations.inputs import write_inputs

STORED = Path(__file__).with_name("digests.json")
CONFIGURATIONS = ("electrons_years", "ghosts", "muons_old", "numba_jets", "taus")
SUMMARY = ("status", "datasets", "yields", "cutflow", "lumi_sections", "lost_chunks",
           "fit", "limits", "significance")  # fmt: skip
NO_FIT = "general.run_statistics=False"
SETTINGS: list[str] = []  # of all runs, from the command line: results must not depend on them


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def columns(tree: Any) -> str:
    """Digest of all branches of a tree, whatever their order and compression."""
    found = []
    for name in sorted(tree.keys()):
        form, length, buffers = ak.to_buffers(ak.to_packed(tree[name].array()))
        data = [np.asarray(buffers[key]).tobytes() for key in sorted(buffers)]
        found.append(digest(name.encode(), str(form.type).encode(), str(length).encode(), *data))
    return digest(*(one.encode() for one in found))


def trees(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.root")):
        with uproot.open(path) as file:
            for name in sorted(file.keys(cycle=False, filter_classname="TTree")):
                yield f"{path.relative_to(folder)}:{name}", columns(file[name])


def histograms(path: Path) -> dict[str, str]:
    """Digests by channel, observable and process: each of all variations together."""
    variations: dict[str, list[str]] = {}
    with uproot.open(path) as file:
        for name in file.keys(cycle=False, filter_classname="TH*"):
            one = file[name]
            arrays = (one.values(flow=True), one.variances(flow=True), one.axis().edges())
            folder, _, variation = name.rpartition("/")
            value = digest(*(np.asarray(array).tobytes() for array in arrays))
            variations.setdefault(folder, []).append(f"{variation} {value}")
    return {name: digest(*map(str.encode, sorted(one))) for name, one in variations.items()}


def results(out: Path) -> Iterator[tuple[str, str]]:
    """What is in the output directory of one run."""
    summary = json.loads((out / "run_summary.json").read_text())
    for part in SUMMARY:
        yield part, digest(json.dumps(summary.get(part), sort_keys=True).encode())
    for path in sorted(out.rglob("histograms/*.root")):
        for name, value in histograms(path).items():
            yield f"histograms {name}", value
    for path in sorted((out / "statistics").rglob("workspace*.json")):
        content = json.dumps(json.loads(path.read_text()), sort_keys=True)
        yield f"workspace {path.relative_to(out)}", digest(content.encode())


def command(*words: str) -> None:
    status = main(list(words))
    if status:
        raise SystemExit(f"intccms {' '.join(words)}: exit status {status}")


def run(name: str, out: Path, *words: str) -> dict[str, str]:
    command("run", *words, *SETTINGS, "general.executor=iterative", f"general.output_dir={out}")
    return {f"{name}: {key}": value for key, value in results(out)}


def demo(folder: Path) -> dict[str, str]:
    """The demo, its skims, and what is made of these."""
    sample, out, skims = folder / "sample", folder / "out", folder / "skims"
    words = ("--files-per-process", "2", "--events-per-file", "10000")
    command("sample", "--out", str(sample), *words)
    base = f"general.base_dir={sample}"
    found = {"sample": digest(repr(list(trees(sample))).encode())}
    found |= run("demo", out, base)
    found |= run("written skims", skims, base, "general.run_skimming=True", NO_FIT)
    found |= run("read skims", skims, base, "general.use_skimmed_input=True", NO_FIT)
    kept = [value for name, value in trees(skims) if "histograms" not in name]
    return found | {"skims": digest(repr(kept).encode())}


def configurations(folder: Path) -> dict[str, str]:
    write_inputs(folder)
    found: dict[str, str] = {}
    for name in CONFIGURATIONS:
        config = ("--config", f"tests.configurations.{name}:config")
        found |= run(name, folder / f"out_{name}", *config, f"general.base_dir={folder}", NO_FIT)
    return found


def run2(folder: Path) -> dict[str, str]:
    config = ("--config", "tests.golden.run2:config")
    sample, words = folder / "sample", ("--files-per-process", "1", "--events-per-file", "300")
    command("sample", "--out", str(sample), "--lean", *words, *config)
    found = {"sample": digest(repr(list(trees(sample))).encode())}
    return found | run("run2", folder / "out", *config, f"general.base_dir={sample}", NO_FIT)


GROUPS = {"demo": demo, "configurations": configurations, "run2": run2}


def no_figure(_: Figure, file: Any, **__: Any) -> None:
    if not hasattr(file, "write"):
        Path(file).touch()


def measured(names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    # Figures are not compared, and to write them takes longer than everything else.
    Figure.savefig = no_figure  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            (folder := Path(temporary) / name).mkdir()
            found |= {f"{name}/{key}": value for key, value in GROUPS[name](folder).items()}
    return found


def compared(found: dict[str, str], stored: dict[str, str]) -> int:
    wrong = sorted(key for key in found.keys() | stored.keys() if found.get(key) != stored.get(key))
    for key in wrong:
        sys.stdout.write(f"DIFFERS  {key}: {stored.get(key)} -> {found.get(key)}\n")
    sys.stdout.write(f"{len(found.keys() - wrong)} of {len(stored)} digests are equal\n")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=list(GROUPS))
    parser.add_argument("--write", action="store_true", help="store the digests")
    parser.add_argument("settings", nargs="*", help="of all runs: general.columns=awkward")
    parsed = parser.parse_args()
    SETTINGS += parsed.settings
    digests = measured(parsed.only)
    all_stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    of_groups = {key: one for key, one in all_stored.items() if key.split("/")[0] in parsed.only}
    if parsed.write:
        kept = all_stored.keys() - of_groups.keys()
        digests |= {key: all_stored[key] for key in kept}
        STORED.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    else:
        raise SystemExit(compared(digests, of_groups))

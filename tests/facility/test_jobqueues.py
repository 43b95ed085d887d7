"""Batch systems: a real Slurm of one node; of HTCondor, which is not here, the job's script."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import dask
import pytest

from intccms import facility
from intccms.errors import InputError, NoWorkersError
from intccms.facility.clusters import jobqueue_cluster
from intccms.histograms import Book
from tests.facility import slurm
from tests.facility.certificates import make_proxy
from tests.facility.conftest import histograms, same
from tests.facility.disturbed import PAUSE, Trial, kill_one


def job_options(python: Path, site: Path) -> dict[str, Any]:
    return {
        "queue": "main",
        "memory": "1GB",
        "walltime": "00:20:00",
        "interface": "lo",
        "python": str(python),
        "local_directory": str(site),
        "log_directory": str(site),
    }


@pytest.mark.facility
def test_an_analysis_in_slurm_jobs_gives_the_same_histograms_and_no_job_is_left(
    slurm_conf: Path,
    other_python: Path,
    tiny_sample: Path,
    tmp_path: Path,
    reference: Book,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("X509_USER_PROXY", str(make_proxy(tmp_path / "proxy", hours=5)))
    options = job_options(other_python, site)
    modules = ["example_opendata"]
    with facility.connect("slurm", n_workers=1, modules=modules, **options) as client:
        assert client.scheduler.address.startswith("tls://")
        book = histograms(tiny_sample, tmp_path / "out", client)
        assert slurm.squeue(slurm_conf) == ["RUNNING"]
    assert same(book, reference)
    until = time.monotonic() + 60
    while slurm.squeue(slurm_conf) and time.monotonic() < until:
        time.sleep(0.5)
    assert slurm.squeue(slurm_conf) == []
    key = (tmp_path / "proxy").read_bytes()
    kept = [path for path in [*site.rglob("*"), *Path().rglob("*")] if path.is_file()]
    assert not [path for path in kept if key in path.read_bytes()]


@pytest.mark.facility
def test_slurm_jobs_that_are_killed_in_mid_run_cost_no_event_and_no_job_ends_the_run(
    slurm_conf: Path, other_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    trial = Trial(tmp_path)
    for name, value in PAUSE.items():
        monkeypatch.setenv(name, value)  # sbatch hands it on
    options = job_options(other_python, tmp_path)

    def scancel(n_jobs: int) -> None:
        slurm.scancel(slurm_conf, slurm.squeue(slurm_conf, "%i")[:n_jobs])

    with facility.connect("slurm", n_workers=2, modules=["tests"], **options) as client:
        client.wait_for_workers(2, timeout=60)
        at = {10: lambda: kill_one(client), 30: lambda: scancel(1)}
        assert trial.is_as_quiet(trial.run("two", client, at))
        assert len(client.run(os.getpid)) == 1
        with pytest.raises(NoWorkersError, match="what is finished is kept"):
            trial.run("none", client, {10: lambda: scancel(9)}, worker_timeout=3.0)
    trial.check_resumed("none")


SYSTEMS = [("SLURMCluster", "slurm"), ("HTCondorCluster", "htcondor")]


LOOPBACK = {"interface": "lo"}


@pytest.mark.parametrize(("kind", "system"), SYSTEMS)
def test_a_job_bounds_xrootd_before_python_begins_and_speaks_tls(
    kind: str, system: str, tmp_path: Path
) -> None:
    options = {**LOOPBACK, "job_script_prologue": ["echo mine"]}
    with jobqueue_cluster(kind, system, options, str(tmp_path)) as made:
        script = made.job_script()
    assert script.index("export XRD_CONNECTIONWINDOW=") < script.index("echo mine")
    assert script.index("echo mine") < script.index("distributed.cli.dask_worker tls://127.0.0.1")
    assert "--tls-ca-file" in script


def test_an_htcondor_job_asks_for_what_the_user_asks_for(tmp_path: Path) -> None:
    more = {"cores": 4, "memory": "8GB", "disk": "20GB", "job_extra_directives": {"+Flavour": "a"}}
    options = LOOPBACK | more
    with jobqueue_cluster("HTCondorCluster", "htcondor", options, str(tmp_path)) as made:
        script = made.job_script()
    assert "MY.DaskWorkerCores = 4" in script
    assert "MY.DaskWorkerMemory = 8000000000" in script
    assert "MY.DaskWorkerDisk = 20000000000" in script
    assert "+Flavour = a" in script


@pytest.mark.parametrize(("kind", "system"), SYSTEMS)
def test_dasks_own_configuration_of_a_site_is_respected(
    kind: str, system: str, tmp_path: Path
) -> None:
    site = {"cores": 2, "memory": "3GB", "disk": "1GB", "job-script-prologue": ["module load x"]}
    configured = {f"jobqueue.{system}": {**dask.config.get(f"jobqueue.{system}"), **site}}
    with (
        dask.config.set(configured),
        jobqueue_cluster(kind, system, dict(LOOPBACK), str(tmp_path)) as made,
    ):
        script = made.job_script()
    assert "--nthreads 2" in script
    assert "module load x" in script


@pytest.mark.filterwarnings("ignore:Exception ignored in. <function Cluster.__del__")
@pytest.mark.parametrize(("kind", "system"), SYSTEMS)
def test_an_option_that_no_job_has_is_named(kind: str, system: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"facility '{system}'.*'quue'"):
        jobqueue_cluster(kind, system, {**LOOPBACK, "quue": "main"}, str(tmp_path))
    gc.collect()  # of a cluster that has not become one; Dask closes it all the same, and fails

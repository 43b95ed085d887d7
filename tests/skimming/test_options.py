"""Secrets are resolved where they are used, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from intccms.errors import ConfigError, InputError
from intccms.schema import SkimOutput, WorkerEval
from intccms.skimming.columns import check_options, resolved, secrets
from tests.skimming.conftest import store_at


def test_worker_evals_are_resolved_wherever_they_are() -> None:
    one = WorkerEval(lambda: "x")
    assert resolved({"a": one, "b": [one, 1], "c": {"d": (one,)}}) == {
        "a": "x",
        "b": ["x", 1],
        "c": {"d": ("x",)},
    }


def test_only_values_of_worker_evals_are_secret() -> None:
    options = {"a": "open", "b": WorkerEval(lambda: {"key": "k1", "n": 3}), "c": [WorkerEval(str)]}
    assert list(secrets(options)) == ["k1"]


def test_checking_evaluates_nothing() -> None:
    def fail() -> None:
        raise AssertionError("evaluated on the client")

    options = {"storage_options": {"key": WorkerEval(fail)}, "compression": "zstd"}
    check_options(SkimOutput(to_kwargs=options, from_kwargs={"storage_options": WorkerEval(fail)}))
    check_options(SkimOutput(to_kwargs={"compression": WorkerEval(fail)}))


def test_a_worker_eval_that_fails_is_told(tmp_path: Path) -> None:
    options = {"key": WorkerEval(lambda: {}["NO_SUCH_VARIABLE"])}
    store = store_at(tmp_path, to_kwargs={"storage_options": options})
    with pytest.raises(InputError, match=r"cannot be evaluated on .*'NO_SUCH_VARIABLE'"):
        store.probe()


def test_reading_needs_no_credentials_of_the_writer(tmp_path: Path) -> None:
    def fail() -> None:
        raise AssertionError("the writer's")

    writer = {"storage_options": WorkerEval(fail)}
    store = store_at(tmp_path, to_kwargs=writer, from_kwargs={"storage_options": {}})
    assert store.load("ttbar_2017") is None


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_names_of_branches_are_not_the_users_to_change(kind: str) -> None:
    with pytest.raises(ConfigError, match="no option 'counter_name'"):
        check_options(SkimOutput(format=kind, to_kwargs={"counter_name": str}))

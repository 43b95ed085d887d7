"""One failure that passes, on each executor: nothing is lost and the ledger says one retry."""

from __future__ import annotations

from pathlib import Path

import pytest

from intccms.analysis.runner import AnalysisResult
from tests.faults.analysis import N_EVENTS, make_config
from tests.faults.conftest import N_FILES
from tests.faults.proxy import Proxy
from tests.faults.runs import analysed, bits

EXECUTORS = ["iterative", "futures", "dask"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_connection_that_is_cut_costs_one_retry_and_no_event(
    remote: Path, proxy: Proxy, expected: AnalysisResult, executor: str, tmp_path: Path
) -> None:
    def cut_once(n_done: int) -> None:
        if n_done == 3:
            assert proxy.cut(refuse=1) > 0

    general = {"base_dir": str(remote), "output_dir": str(tmp_path), "executor": executor}
    config = make_config([proxy.redirector], n_workers=2, **general)
    result = analysed(config, on_receipt=cut_once)
    assert result.ledger.retries == 1
    assert result.ledger.is_complete
    assert result.ledger.n_processed == N_FILES * N_EVENTS
    assert bits(result) == bits(expected)

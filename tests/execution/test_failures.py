from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
import uproot

from intccms.errors import FunctionError, MissingColumnError
from intccms.execution.failures import classify, describe, is_read_failure
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source


def raised(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any; the test says which kind
        call()
    return caught.value


def events(path: Path) -> Any:
    return open_source(str(path), "Events").events(0, 40, ReadMeter(), {"dataset": "mc"})


@pytest.fixture(scope="module")
def corrupt(shared_data: Path) -> Path:
    return shared_data / "broken/corrupt_basket_Muon_pt.root"


def test_a_virtual_array_that_cannot_be_read_is_no_fault_of_the_function(corrupt: Path) -> None:
    exc = raised(lambda: ak.sum(events(corrupt).Muon.pt, axis=1))
    assert is_read_failure(exc)
    assert classify(exc, "process") == "permanent"


def test_a_fault_of_the_function_is_no_failure_to_read(shared_data: Path) -> None:
    jets = events(shared_data / "nano/nano_dy.root").Jet
    exc = raised(lambda: jets.pt[:, 99])
    assert not is_read_failure(exc)
    assert classify(exc, "process") == "user"


def test_what_fails_deep_below_a_reader_is_a_failure_to_read() -> None:
    def interpret() -> None:
        ak.unflatten(ak.Array([1, 2, 3]), [1, 1])  # awkward's own frames are the innermost

    module: dict[str, Any] = {"__name__": "uproot.interpretation", "interpret": interpret}
    exec("def read():\n    interpret()", module)  # noqa: S102
    assert is_read_failure(raised(module["read"]))


@pytest.mark.parametrize(
    "name",
    [
        "zero_length.root",
        "truncated_50pct.root",
        "header_only_100B.root",
        "bad_magic.root",
        "not_root_html.root",
        "wrong_tree_name.root",
        "truncated_60pct_rntuple.root",
    ],
)
def test_trying_again_does_not_mend_a_broken_file(shared_data: Path, name: str) -> None:
    exc = raised(lambda: open_source(str(shared_data / "broken" / name), "Events"))
    assert classify(exc, "open") == "permanent"


def test_a_missing_file_is_permanent(tmp_path: Path) -> None:
    exc = raised(lambda: uproot.open(tmp_path / "absent.root"))
    assert classify(exc, "open") == "permanent"


@pytest.mark.parametrize(
    ("exc", "stage", "kind"),
    [
        (OSError("[ERROR] Operation expired"), "open", "transient"),
        (TimeoutError("timed out"), "read", "transient"),
        (ConnectionResetError("reset by peer"), "process", "transient"),
        (OSError("No such file or directory"), "open", "permanent"),
        (MissingColumnError("no Jet"), "process", "permanent"),
        (FunctionError("mine"), "process", "user"),
        (ZeroDivisionError("mine"), "process", "user"),
        (MemoryError(), "process", "memory"),
        (MemoryError(), "read", "memory"),
    ],
)
def test_kinds(exc: Exception, stage: str, kind: str) -> None:
    assert classify(exc, stage) == kind


def test_the_description_is_one_short_line() -> None:
    assert describe(ValueError("\nfirst\nsecond")) == "first"
    assert describe(ValueError()) == "ValueError"
    assert len(describe(ValueError("x" * 1000))) == 300

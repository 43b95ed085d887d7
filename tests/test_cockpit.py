"""A run in the background of a notebook: from a cell, and from the cockpit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intccms import notebook
from intccms.errors import IntccmsError
from intccms.interrupts import Interrupted
from intccms.pipeline.background import Background
from tests.faults.inputs import list_files, write_files

SOURCE = "example_opendata.configs.configuration:config"
SLOW = "tests.faults.analysis:config"
WAIT_S = 60.0
MET_MIN = "channels.CMS_WORKSHOP.selection.met_min"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(params=["iterative", "futures", "dask"])
def slow(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], Path]:
    """Parameters of a run of 40 chunks of 0.3 s, and the file that has a line for each begun."""
    marks = tmp_path / "marks"
    marks.touch()
    monkeypatch.setenv("MARKS", str(marks))
    monkeypatch.setenv("PAUSE_S", "0.3")
    base = list_files(tmp_path / "base", write_files(tmp_path / "store", 8))
    given: dict[str, Any] = {
        "overrides": [f"general.executor={request.param}"],
        "base_dir": str(base),
        "output_dir": str(tmp_path / "out"),
        "n_workers": 2,
    }
    return given, marks


def begun(marks: Path) -> int:
    return len(marks.read_text().splitlines())


def test_the_kernel_is_free_while_a_run_goes_on_and_the_button_stops_it(
    slow: tuple[dict[str, Any], Path],
) -> None:
    given, marks = slow
    session = notebook.setup(SLOW, **given)
    session.count_files()
    button = session.process(wait=False)
    wait_for(lambda: begun(marks) > 3)
    assert not button.button.disabled
    button.button.click()
    wait_for(lambda: "of 40 chunks are finished and kept in" in button.line.value)
    with pytest.raises(Interrupted, match="of 40 chunks are finished"):
        session.yields()
    assert not session.stages.is_running  # the run is there all the same
    session.process(wait=False)  # goes on from there
    assert "ttbar" in str(session.yields()) or session.stages.result.ledger.is_complete
    assert session.stages.result.ledger.n_processed == 2400
    assert begun(marks) <= 40 + 2 * 2


def test_an_error_in_the_background_is_shown_and_raised_where_the_result_is_needed() -> None:
    ended: list[Any] = []

    def work() -> str:
        raise IntccmsError("no such thing")

    going = Background(work, ended.append)
    going.start()
    with pytest.raises(IntccmsError, match="no such thing"):
        going.wait()
    assert ended == [going]
    assert going.answer is None
    going.stop()  # of what is over


@pytest.fixture
def cockpit(tiny_sample: Path, tmp_path: Path) -> Any:
    overrides = ["general.executor=iterative", "general.run_statistics=False"]
    return notebook.cockpit(
        SOURCE, overrides, base_dir=str(tiny_sample), output_dir=str(tmp_path / "out")
    )


def result_of(cockpit: Any) -> str:
    """Texts of the tab of results."""
    return "".join(texts_of(cockpit.tabs.children[2]))


def texts_of(box: Any) -> list[str]:
    own = [str(getattr(box, "value", ""))]
    return own + [text for child in getattr(box, "children", ()) for text in texts_of(child)]


def test_run_edit_run_from_the_cockpit(cockpit: Any) -> None:
    assert "Run comes first" in result_of(cockpit)
    cockpit.run.click()
    assert cockpit.run.disabled
    cockpit.wait()
    assert "first look" in cockpit.stop.line.value
    before = result_of(cockpit)
    assert "ttbar_semilep</td>" in before
    assert cockpit.tabs.selected_index == 2
    cockpit.editor.draft.put_text(MET_MIN, "150")
    cockpit.run.click()
    cockpit.wait()
    assert f"{MET_MIN}: 50.0 → 150.0" in cockpit.stop.line.value.replace("&gt;", ">")
    assert result_of(cockpit) != before
    again = cockpit.session()
    again.count_files()
    again.process()
    assert again.yields().rows == cockpit.latest.yields().rows


def test_what_is_wrong_stands_in_the_cockpit_and_it_goes_on(cockpit: Any, tmp_path: Path) -> None:
    cockpit.editor.draft.put_text("general.base_dir", str(tmp_path / "nowhere"))
    cockpit.run.click()
    wait_for(lambda: not cockpit.run.disabled)
    assert "does not exist" in cockpit.stop.line.value
    assert "Traceback" not in cockpit.stop.line.value
    with pytest.raises(IntccmsError, match="does not exist"):
        cockpit.wait()
    cockpit.editor.draft.reset()
    session = cockpit.session()  # of the settings as they are now
    assert session.count_files().rows[1:]
    cockpit.run.click()
    cockpit.wait()
    assert "ttbar_semilep</td>" in result_of(cockpit)


def test_the_cell_run_again_keeps_the_changes_of_the_form(
    cockpit: Any, tiny_sample: Path, tmp_path: Path
) -> None:
    cockpit.editor.draft.put_text(MET_MIN, "80")
    again = notebook.cockpit(SOURCE, base_dir=str(tiny_sample), output_dir=str(tmp_path / "out"))
    assert again is not cockpit
    assert f"{MET_MIN}=80" in again.editor.overrides
    assert "general.executor=iterative" not in again.editor.overrides  # it was given, no change
    again.editor.draft.reset()
    assert f"{MET_MIN}=80" not in again.editor.overrides

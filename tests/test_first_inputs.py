"""An example without files of its own runs as shipped, in a folder where nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms import first_inputs, notebook
from intccms.first_inputs import inputs_of_example
from intccms.metrics.progress import make_observer
from intccms.schema import load_config

CONFIG = "example_opendata.configs.configuration:config"
QUICK = ["general.executor=iterative", "general.run_statistics=False"]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it; the checkout has no sample of ``make demo``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(first_inputs, "examples_folder", lambda: tmp_path / "checkout")
    return tmp_path


def of_example(folder: Path, **general: Any) -> Any:
    config = load_config(CONFIG, [f"general.{key}={value}" for key, value in general.items()])
    config.set_file(str(folder / "checkout" / "example_opendata" / "configuration.py"))
    return config


def test_a_small_sample_is_made_once_and_found_again(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = of_example(nowhere, processes="[signal, data]")
    made = inputs_of_example(config, make_observer())
    assert made == nowhere / "outputs" / "example_opendata" / "sample"
    assert "writing a small synthetic sample" in capsys.readouterr().err
    (made / "mark").touch()
    assert inputs_of_example(config, make_observer()) == made
    assert (made / "mark").exists()
    ready = load_config(CONFIG, [*QUICK, f"general.base_dir={made}", "general.processes=[signal]"])
    session = notebook.Session(ready)
    assert "60,000" in str(session.count_files())


def test_the_sample_of_make_demo_comes_first(nowhere: Path) -> None:
    config = of_example(nowhere)
    demo = nowhere / "checkout" / "outputs" / "demo" / "sample"
    for one in config.datasets.datasets:
        for directory in one.directories:
            (demo / directory).mkdir(parents=True)
    assert inputs_of_example(config, make_observer()) == demo


def test_nothing_is_made_for_what_is_not_an_example_or_has_files(nowhere: Path) -> None:
    own = load_config(CONFIG)
    own.set_file(str(nowhere / "mytop" / "configuration.py"))
    named = of_example(nowhere, base_dir="'elsewhere'")
    [first, *_] = own.datasets.datasets
    here = of_example(nowhere)
    for config in (own, named):
        assert inputs_of_example(config, make_observer()) is None
    (nowhere / first.directories[0]).mkdir(parents=True)
    assert inputs_of_example(here, make_observer()) is None
    assert not (nowhere / "outputs").exists()


def test_another_choice_of_processes_adds_to_the_sample_that_is_read(nowhere: Path) -> None:
    made = inputs_of_example(of_example(nowhere, processes="[signal]"), make_observer())
    assert made is not None
    before = {one: one.stat().st_ino for one in made.rglob("*.root")}
    assert inputs_of_example(of_example(nowhere, processes="[signal, data]"), make_observer())
    now = {one: one.stat().st_ino for one in made.rglob("*.root")}
    assert len(now) == 2
    assert before.items() < now.items()
    assert [one.name for one in made.parent.iterdir()] == ["sample"]  # nothing is left over

"""What the cells of a notebook call, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from intccms import notebook
from intccms.errors import InputError
from intccms.notebook import Session
from intccms.pipeline import RunResult
from intccms.pipeline.saved import load_saved
from tests.execution.tasks import running

NO_DATA = ["general.processes=[signal,ttbar_semilep]", "general.run_statistics=False"]
CONFIG = "example_opendata.configs.configuration:config"


@pytest.fixture(scope="module", autouse=True)
def logging_as_before() -> Iterator[None]:
    """`setup` sets up logging, as a notebook may."""
    logger = logging.getLogger("intccms")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    logger.handlers[:] = before[2]


@pytest.fixture(scope="module")
def session(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session whose events are processed."""
    overrides = [
        "general.executor=iterative",
        "general.run_systematics=False",
        "general.processes=[signal,ttbar_semilep,data]",
    ]
    out = tmp_path_factory.mktemp("session") / "out"
    session = notebook.setup(
        CONFIG, overrides, base_dir=str(tiny_sample), output_dir=str(out), n_workers=1
    )
    counted = session.count_files()
    assert counted.rows[1] == ["signal", "1", "2,000", "0"]
    rates = session.process()
    assert "kHz" in dict(rates.rows)["rate"]
    return session


def test_parameters_of_the_notebook_win_over_overrides(tmp_path: Path) -> None:
    session = notebook.setup(
        CONFIG, ["general.output_dir=a", "general.n_workers=7"], output_dir=str(tmp_path)
    )
    assert session.config.general.output_dir == str(tmp_path)
    assert session.config.general.n_workers == 7


def test_an_unknown_facility_is_refused() -> None:
    with pytest.raises(InputError, match="unknown facility 'coffea-casa'"):
        notebook.setup(CONFIG, facility="coffea-casa")


def test_the_configuration_is_shown_in_one_table(session: Session, tiny_sample: Path) -> None:
    cells = dict(session.show_config().rows)
    assert cells["processes"] == "signal, ttbar_semilep, data"
    assert cells["sources of uncertainty"] == "0"
    assert Path(cells["input below"]) == tiny_sample


def test_ledger_yields_and_cutflow_are_tables(session: Session) -> None:
    assert session.ledger().rows[-1][4:7] == ["6,000", "6,000", "0"]
    assert [row[0] for row in session.yields().rows[1:]] == ["signal", "ttbar_semilep", "data"]
    assert session.cutflow("CMS_WORKSHOP").rows[0] == ["cut", "signal", "ttbar_semilep", "data"]
    with pytest.raises(InputError, match="did you mean 'CMS_WORKSHOP'"):
        session.cutflow("CMS_WORKSHP")


def test_figures_are_saved_and_shown(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.plots("cutflow")
    assert session.stages.output.plots_dir.joinpath("CMS_WORKSHOP", "cutflow.pdf").is_file()
    assert "Image" in capsys.readouterr().out
    session.plots("cutflow", only="nothing*")
    assert "Image" not in capsys.readouterr().out
    with pytest.raises(InputError, match="did you mean 'statistics'"):
        session.plots("statistic")  # type: ignore[arg-type]


def test_fit_limit_and_summary_end_the_session(session: Session) -> None:
    assert session.fit().rows[1][:2] == ["signal", "2000"]
    assert session.limit().rows[1][0] == "signal"
    shown = repr(session.summary())
    assert "Status: complete" in shown
    assert session.stages.output.run_summary_json.is_file()


def test_a_second_look_finds_the_workers_and_writes_what_is_looked_at_last(
    tiny_sample: Path, tmp_path: Path
) -> None:
    """As when a cut is edited and the cells run again; the same settings do as well."""
    out, before = tmp_path / "out", running()
    overrides = ["general.executor=futures", "general.run_systematics=False", *NO_DATA]

    def look(*more: str) -> Session:
        session = notebook.setup(
            CONFIG, [*overrides, *more], base_dir=str(tiny_sample), output_dir=str(out), n_workers=1
        )
        session.count_files()
        session.process()
        return session

    look().summary()
    saved = out / "histograms" / "histograms.root"
    assert saved.is_file()
    workers = running(without=before)
    assert workers
    left = notebook.setup(
        CONFIG, overrides, base_dir=str(tiny_sample), output_dir=str(tmp_path / "2"), n_workers=1
    )
    left.count_files()  # and nothing more
    second = look("general.channels=[CMS_WORKSHOP]")
    assert running(without=before) == workers
    assert not saved.exists()  # nothing on disk is of another run than the summary
    with pytest.raises(InputError, match="run the analysis first"):
        load_saved(RunResult(second.config, second.stages.output))
    second.summary()
    assert saved.is_file()
    assert (second.stages.output.measurement_dir(second.measurement.name) / "report.html").is_file()

"""The loop *edit, run, look* in one kernel: what is used again gives the bits of a clean run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intccms import notebook
from intccms.analysis import runner
from intccms.errors import ConfigError, InputError
from intccms.notebook import Session
from intccms.schema import load_config
from tests.faults.inputs import events_of, write_corrections, write_events
from tests.faults.package import CONFIGURATION, HELPERS, NAME, Edit, written
from tests.faults.runs import bits, statuses

N_CHUNKS = 3 * 3

# What is edited, how the chunks then come about, and what is said of it.
LOOKS: list[tuple[Edit, dict[str, int], str]] = [
    ((CONFIGURATION, "jets.pt > 30", "jets.pt > 35"), {"cached": 9}, "good_object_masks.analysis"),
    ((HELPERS, "MIN_HT = 60.0", "MIN_HT = 70.0"), {"cached": 9}, "baseline_selection.function"),
    ((CONFIGURATION, '"0,300,10"', '"0,300,12"'), {"cached": 9}, "observables.met.binning"),
    ((CONFIGURATION, "MET [GeV]", "missing [GeV]"), {"resumed": 9}, "MET [GeV] → missing [GeV]"),
    ((CONFIGURATION, '"lumi": 1000.0', '"lumi": 2000.0'), {"resumed": 9}, "1000.0 → 2000.0"),
    (
        (CONFIGURATION, '"cross_sections": 5.0', '"cross_sections": 6.0'),
        {"resumed": 9},
        "[5.0] → [6.0]",
    ),
    ((HELPERS, "MIN_HT = 70.0", "MIN_HT = 60.0"), {"cached": 9}, "baseline_selection.function"),
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for number, name in enumerate(("ttbar/0.root", "ttbar/1.root", "data/0.root")):
        path = tmp_path / "base" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        columns = events_of(number)
        if name.startswith("data"):
            del columns["genWeight"], columns["Pileup_nTrueInt"]
        write_events(path, columns)
    write_corrections(tmp_path / "base" / "corrections.json")
    (tmp_path / "base" / "golden.json").write_text('{"1": [[1, 5]]}')
    return tmp_path / "base"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = written(tmp_path / "package")
    monkeypatch.syspath_prepend(str(folder))

    def drop() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "ana"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    drop()
    yield folder
    drop()


def begun(base: Path, out: Path, *overrides: str) -> Session:
    session = notebook.setup(NAME, overrides, base_dir=str(base), output_dir=str(out), n_workers=2)
    session.count_files()
    session.process()
    return session


def analysis_of(session: Session) -> runner.AnalysisResult:
    analysis = session.stages.result.analysis
    assert analysis is not None
    return analysis


def clean(base: Path, out: Path) -> str:
    """The bits of a run in an empty directory."""
    overrides = {"general.base_dir": str(base), "general.output_dir": str(out)}
    return bits(runner.run(load_config(NAME, overrides)))


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_each_edit_gives_the_bits_of_a_clean_run(
    base: Path, package: Path, tmp_path: Path, executor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    session = begun(base, tmp_path / "out", f"general.executor={executor}")
    assert statuses(analysis_of(session)) == {"done": N_CHUNKS}
    capsys.readouterr()
    for number, ((name, old, new), chunks, told) in enumerate(LOOKS):
        path = package / name
        path.write_text(path.read_text().replace(old, new))
        yields = session.look()
        said = capsys.readouterr().out
        assert told in said
        assert "read 0 B" in said
        assert "Image" in said
        assert [row[0] for row in yields.rows[1:]] == ["ttbar", "data"]
        assert statuses(analysis_of(session)) == chunks
        assert bits(analysis_of(session)) == clean(base, tmp_path / f"clean{number}")
    session.look()
    assert "changed: nothing; 9 chunks as they were" in capsys.readouterr().out
    assert not (tmp_path / "out" / "histograms").exists()  # a later look would throw it away
    session.summary()
    assert (tmp_path / "out" / "histograms" / "histograms.root").is_file()
    notebook._pool.close()


def test_a_file_that_was_replaced_is_read_again(base: Path, package: Path, tmp_path: Path) -> None:
    session = begun(base, tmp_path / "out")
    write_events(base / "ttbar" / "1.root", events_of(7))
    session.look()
    assert statuses(analysis_of(session)) == {"done": 3, "resumed": 6}
    assert bits(analysis_of(session)) == clean(base, tmp_path / "clean")


def test_a_file_that_is_new_is_read_and_one_that_is_gone_is_not(
    base: Path, package: Path, tmp_path: Path
) -> None:
    session = begun(base, tmp_path / "out")
    write_events(base / "ttbar" / "2.root", events_of(8))
    session.look()
    assert statuses(analysis_of(session)) == {"done": 3, "resumed": 9}
    (base / "ttbar" / "1.root").unlink()
    session.look()
    assert statuses(analysis_of(session)) == {"resumed": 9}
    assert bits(analysis_of(session)) == clean(base, tmp_path / "clean")


def test_a_correction_that_was_edited_counts(base: Path, package: Path, tmp_path: Path) -> None:
    session = begun(base, tmp_path / "out")
    write_corrections(base / "corrections.json", nominal=1.5)
    session.look()
    assert statuses(analysis_of(session)) == {"cached": 6, "resumed": 3}
    assert bits(analysis_of(session)) == clean(base, tmp_path / "clean")


def test_what_was_lost_is_named_and_tried_again(
    base: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = base / "ttbar" / "1.root"
    whole = path.read_bytes()
    session = begun(base, tmp_path / "out")
    path.write_bytes(whole[:400])
    session.look()
    assert "; lost 1 file" in capsys.readouterr().out
    assert not session.stages.result.ledger.is_complete
    path.write_bytes(whole)
    session.look()
    assert session.stages.result.ledger.is_complete
    assert bits(analysis_of(session)) == clean(base, tmp_path / "clean")


def test_overrides_stay_and_nothing_is_taken_where_that_is_not_wanted(
    base: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = begun(base, tmp_path / "out")
    secret = "preprocess.skimming.output.to_kwargs.storage_options.secret"
    session.look(overrides=["general.read_from_cache=False", f"{secret}=hunter2"])
    assert "hunter2" not in capsys.readouterr().out
    assert statuses(analysis_of(session)) == {"done": N_CHUNKS}
    with pytest.raises(ConfigError, match="did you mean"):
        session.look(overrides=["general.lumii=3"])
    session.look()  # what was wrong is not wanted again
    assert session.config.general.read_from_cache is False
    assert statuses(analysis_of(session)) == {"done": N_CHUNKS}


def test_figures_are_chosen_by_pattern(
    base: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = begun(base, tmp_path / "out")
    capsys.readouterr()
    session.look("all/met*")
    assert capsys.readouterr().out.count("Image") == 2  # with the logarithmic one
    with pytest.raises(InputError, match="did you mean 'all/met'"):
        session.look("all/mett")


def test_a_new_session_takes_over_from_one_of_the_same_directory(
    base: Path, package: Path, tmp_path: Path
) -> None:
    """As when the cells are run again, and somebody holds on to the old session."""
    first = begun(base, tmp_path / "out")
    second = begun(base, tmp_path / "out")
    assert statuses(analysis_of(second)) == {"resumed": N_CHUNKS}
    with pytest.raises(InputError, match="another run writes to"):
        first.process()
    second.summary()


CUT = "    return helpers.summed(jets) > helpers.MIN_HT"
AS_PARAMETER = (
    CONFIGURATION,
    f'def baseline(jets):\n    """Events with jets."""\n{CUT}',
    "def baseline(jets, *, ht_min=60.0):\n    return helpers.summed(jets) > ht_min",
)


def test_a_scan_of_a_cut_gives_what_clean_runs_give(
    base: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, old, new = AS_PARAMETER
    path = package / name
    text = path.read_text()
    assert old in text
    signal = '"statistics": {"signals": ["ttbar"]},\n    "plotting"'
    path.write_text(text.replace(old, new).replace('"plotting"', signal))
    session = begun(base, tmp_path / "out")
    before = (tmp_path / "out" / "run_summary.json").read_bytes()
    capsys.readouterr()
    table = session.scan("baseline_selection.ht_min", [40, 80.0, 1e6])
    assert "Image" in capsys.readouterr().out
    assert [row[0] for row in table.rows] == [
        "baseline_selection.ht_min",
        "40",
        "80.0",
        "1000000.0",
    ]
    for row, value in zip(table.rows[1:3], (40, 80), strict=True):
        overrides = [
            f"general.base_dir={base}",
            f"general.output_dir={tmp_path / str(value)}",
            f"baseline_selection.ht_min={value}",
        ]
        book = runner.run(load_config(NAME, overrides)).histograms
        assert row[1:4] == ["all", "ttbar", f"{book.yields('all')['ttbar'].value:.4g}"]
    assert float(table.rows[3][3]) == 0.0
    assert (tmp_path / "out" / "run_summary.json").read_bytes() == before
    session.summary()  # the session is still that of the run before
    with pytest.raises(ConfigError, match="did you mean 'ht_min'"):
        session.scan("baseline_selection.ht_mn", [1])


READS = """
import json
from pathlib import Path

TABLE = json.loads((Path(__file__).parent / "table.json").read_text())
"""


def test_a_file_that_a_module_reads_when_it_is_imported_counts_as_the_module(
    base: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helpers, table = package / HELPERS, package / "ana" / "table.json"
    text = helpers.read_text()
    helpers.write_text(READS + text.replace("MIN_HT = 60.0", 'MIN_HT = TABLE["ht"]'))
    table.write_text('{"ht": 60.0}')
    session = begun(base, tmp_path / "out")
    table.write_text('{"ht": 70.0}')
    with pytest.raises(ConfigError, match=r"ana\.helpers: edited since"):
        session.process()
    session.look()
    assert statuses(analysis_of(session)) == {"cached": N_CHUNKS}
    assert bits(analysis_of(session)) == clean(base, tmp_path / "clean")
    table.write_text("{")
    for _ in range(2):  # nothing is taken in place of what cannot be loaded
        with pytest.raises(ConfigError, match=r"ana\.helpers.* cannot be loaded again"):
            session.look()
    table.write_text('{"ht": 60.0}')
    session.look()
    assert statuses(analysis_of(session)) == {"resumed": N_CHUNKS}

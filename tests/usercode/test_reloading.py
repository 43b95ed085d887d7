from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import load_config
from intccms.usercode.reloading import check_current, older_module, refresh

CONFIGURATION = """
from mine import cuts
config = {
    "general": {"lumi": LUMI, "weight_branch": "genWeight"},
    "datasets": {"datasets": [{"name": "mc", "directories": "mc/", "cross_sections": 1.0}]},
    "channels": [{
        "name": "all", "fit_observable": "x",
        "observables": [
            {"name": "x", "binning": "0,200,4", "function": cuts.x, "use": [("MET", "pt")]}
        ],
        "selection": {"function": cuts.passes, "use": [("MET", "pt")]},
    }],
}
""".replace("LUMI", "1.0")
CUTS = """
from kitbag import numbers
def passes(met):
    return met > numbers.CUT
def x(met):
    return met
"""


def write(folder: Path, **texts: str) -> None:
    """Write modules; ``a_b`` is ``a/b.py``."""
    for name, text in texts.items():
        path = folder / (name.replace("_", "/", 1) + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()


@pytest.fixture
def analysis(folder: Path) -> Path:
    write(folder, mine_cuts=CUTS, mine_conf=CONFIGURATION, kitbag_numbers="CUT = 50\n")
    return folder


def cut_of(config: Any) -> int:
    """The greatest whole number that the selection of the configuration refuses."""
    selection = config.channels[0].selection.function
    return max(n for n in range(300) if not selection(n))


def test_a_helper_of_a_helper_is_loaded_again_with_all_that_depends_on_it(
    analysis: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert cut_of(load_config("mine.conf")) == 50
    write(analysis, kitbag_numbers="CUT = 70\n")
    with caplog.at_level(logging.WARNING):
        assert cut_of(load_config("mine.conf:config")) == 70
    assert caplog.messages == [
        "edited and loaded again: kitbag.numbers, with what depends on it: mine.conf, mine.cuts"
    ]
    caplog.clear()
    assert cut_of(load_config("mine.conf:config")) == 70
    assert not caplog.messages


def test_the_content_counts_not_the_time_of_the_file(analysis: Path) -> None:
    load_config("mine.conf:config")
    path = analysis / "kitbag/numbers.py"
    status = path.stat()
    path.write_text("CUT = 60\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cut_of(load_config("mine.conf:config")) == 60
    os.utime(path)  # another time, the same content
    module = sys.modules["kitbag.numbers"]
    load_config("mine.conf:config")
    assert sys.modules["kitbag.numbers"] is module


def test_an_edit_before_the_first_look_is_seen(analysis: Path) -> None:
    importlib.import_module("mine.conf")
    write(analysis, kitbag_numbers="CUT = 80\n")
    assert cut_of(load_config("mine.conf:config")) == 80


def test_a_function_that_was_edited_before_the_first_look_is_seen(analysis: Path) -> None:
    importlib.import_module("mine.conf")
    write(analysis, mine_cuts=CUTS.replace("met >", "met > 1 +"))
    os.utime(analysis / "mine/cuts.py", (0, 0))  # as a copy that keeps its time
    assert cut_of(load_config("mine.conf:config")) == 51


def test_what_was_removed_from_a_module_is_gone(analysis: Path) -> None:
    load_config("mine.conf:config")
    write(analysis, mine_cuts=CUTS.replace("def x(met)", "def y(met)"))
    with pytest.raises(ConfigError, match=r"mine.*AttributeError.*nothing was loaded again"):
        load_config("mine.conf:config")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CUT = = 1\n", r"kitbag\.numbers.*not Python.*numbers\.py, line 1"),
        ("CUT = 1 / 0\n", r"kitbag\.numbers.*ZeroDivisionError"),
        ("raise SystemExit(0)\n", r"kitbag\.numbers.*SystemExit"),
    ],
)
def test_what_cannot_be_loaded_leaves_all_modules_as_they_are(
    analysis: Path, text: str, reason: str
) -> None:
    load_config("mine.conf:config")
    before = {name: sys.modules[name] for name in ("mine", "mine.cuts", "mine.conf", "kitbag")}
    numbers = sys.modules["kitbag.numbers"]
    write(analysis, mine_cuts=CUTS + "# edited, too\n", kitbag_numbers=text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_config("mine.conf:config")
    assert "\n" not in str(caught.value)
    assert all(sys.modules[name] is module for name, module in before.items())
    assert sys.modules["kitbag"].numbers is numbers
    assert sys.modules["mine"].cuts is before["mine.cuts"]
    write(analysis, kitbag_numbers="CUT = 90\n")
    assert cut_of(load_config("mine.conf:config")) == 90


def test_star_imports_and_modules_that_functions_import_count(folder: Path) -> None:
    late = "def passes(met):\n    from . import deep_late\n    return met > deep_late.CUT\n"
    write(
        folder,
        mine_cuts="from kitbag.numbers import *\n" + late + "def x(met):\n    return met + SHIFT\n",
        mine_conf=CONFIGURATION,
        kitbag_numbers="SHIFT = 1\n",
    )
    (folder / "mine/deep_late.py").write_text("CUT = 50\n")
    config = load_config("mine.conf:config")
    assert (cut_of(config), config.channels[0].observables[0].function(0)) == (50, 1)
    (folder / "mine/deep_late.py").write_text("CUT = 70\n")
    write(folder, kitbag_numbers="SHIFT = 2\n")
    config = load_config("mine.conf:config")
    assert (cut_of(config), config.channels[0].observables[0].function(0)) == (70, 2)


def test_a_table_that_others_fill_is_no_edit(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder, mine_cuts=CUTS, mine_conf=CONFIGURATION)
    text = "TABLE = {}\nCUT = 50\n"
    write(
        folder, kitbag_numbers=text, kitbag_more="from . import numbers\nnumbers.TABLE['a'] = 1\n"
    )
    importlib.import_module("kitbag.more")
    with caplog.at_level(logging.WARNING):
        load_config("mine.conf:config")
    assert not caplog.messages


def test_a_package_is_loaded_again_with_its_modules(folder: Path) -> None:
    write(folder, mine_cuts="from mine import CUT\n" + CUTS.partition("\n")[2].partition("\n")[2],
          mine_conf=CONFIGURATION)  # fmt: skip
    (folder / "mine/cuts.py").write_text(
        "import mine\ndef passes(met):\n    return met > mine.CUT\ndef x(met):\n    return met\n"
    )
    (folder / "mine/__init__.py").write_text("CUT = 50\n")
    assert cut_of(load_config("mine.conf:config")) == 50
    (folder / "mine/__init__.py").write_text("CUT = 70\n")
    assert cut_of(load_config("mine.conf:config")) == 70


def test_a_module_that_was_renamed_is_found_under_its_new_name(analysis: Path) -> None:
    load_config("mine.conf:config")
    (analysis / "kitbag/numbers.py").rename(analysis / "kitbag/values.py")
    write(analysis, mine_cuts=CUTS.replace("numbers", "values"), kitbag_values="CUT = 70\n")
    assert cut_of(load_config("mine.conf:config")) == 70


def test_a_dict_of_an_older_version_is_refused_by_name(analysis: Path) -> None:
    table = importlib.import_module("mine.conf").config
    held = load_config(table)
    write(analysis, kitbag_numbers="CUT = 70\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"mine\.cuts.*make it again"):
            load_config(table)
    with pytest.raises(ConfigError, match=r"mine\.conf"):
        load_config(held, {"general.lumi": 2.0})
    assert cut_of(load_config(sys.modules["mine.conf"].config)) == 70


def test_a_dict_whose_numbers_alone_are_older_is_refused_too(analysis: Path) -> None:
    table = importlib.import_module("mine.conf").config
    assert load_config(table).general.lumi == 1.0
    write(analysis, mine_conf=CONFIGURATION.replace("1.0", "2.0"))
    with pytest.raises(ConfigError, match=r"mine\.conf.*make it again"):
        load_config(table)
    assert load_config("mine.conf:config").general.lumi == 2.0


def test_a_configuration_that_is_held_while_a_file_is_edited_is_not_current(
    analysis: Path,
) -> None:
    config = load_config("mine.conf:config")
    check_current(config)
    write(analysis, mine_conf=CONFIGURATION.replace("1.0", "2.0"))
    with pytest.raises(ConfigError, match=r"mine\.conf: edited since"):
        check_current(config)
    assert load_config("mine.conf:config").general.lumi == 2.0
    with pytest.raises(ConfigError, match=r"mine\.conf: edited since"):
        check_current(config)


def test_modules_by_themselves_are_taken_as_they_are_now(analysis: Path) -> None:
    module = importlib.import_module("mine.conf")
    load_config(module)
    write(analysis, kitbag_numbers="CUT = 70\n")
    assert cut_of(load_config(module)) == 70


def test_cells_see_the_new_modules_and_what_they_imported_from_them(
    analysis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ["%matplotlib inline\nfrom kitbag.numbers import CUT as LIMIT", "from mine import cuts"]
    main = ModuleType("__main__")
    main.__dict__["In"] = cells
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("from kitbag.numbers import CUT as LIMIT\nfrom mine import cuts\nOWN = 50", vars(main))
    exec("def passes(met):\n    return (met > LIMIT) & cuts.passes(met)", vars(main))
    refresh(["__main__"])
    write(analysis, kitbag_numbers="CUT = 70\n")
    refresh(["__main__"])
    assert main.passes(71)
    assert not main.passes(70)
    assert (main.LIMIT, main.OWN) == (70, 50)
    assert older_module(main.cuts) is None


def test_what_is_no_text_is_named(folder: Path) -> None:
    extension = ModuleType("deep")
    extension.__file__ = str(folder / "deep.so")
    sys.modules["deep"] = extension
    (folder / "deep.so").write_bytes(b"first")
    write(folder, mine_conf=CONFIGURATION.replace("from mine", "import deep\nfrom mine"),
          mine_cuts=CUTS, kitbag_numbers="CUT = 50\n")  # fmt: skip
    load_config("mine.conf:config")
    (folder / "deep.so").write_bytes(b"second")
    with pytest.raises(ConfigError, match=r"deep: edited, and cannot be loaded again: restart"):
        load_config("mine.conf:config")

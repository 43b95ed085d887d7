"""Tables for HEPData are valid for its own validator, and hold the numbers of the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from intccms.statistics import SignalResult, build_workspaces, infer
from intccms.statistics.export import write_hepdata
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig

SIGNALS = ("zprime_m1000", "zprime_m2000")


def results(
    make_config: MakeConfig, make_book: MakeBook, **statistics: Any
) -> tuple[SignalResult, ...]:
    def filled(region: dict[str, Any]) -> dict[str, Any]:
        others = {name: one for name, one in region.items() if name != "signal"}
        return dict.fromkeys(SIGNALS, region["signal"]) | others

    contents = filled(SIGNAL_REGION)
    config = make_config(tuple(contents), **statistics)
    book = make_book(contents, filled(CONTROL_REGION))
    return tuple(
        infer(one, mass_gev=mass, cross_section_pb=0.5, n_ranked=1)
        for one, mass in zip(build_workspaces(config, book), (1000.0, 2000.0), strict=True)
    )


def table(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / f"{name}.yaml").read_text())
    return content


def columns(content: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        one["header"]["name"]: [cell["value"] for cell in one["values"]]
        for one in content["dependent_variables"]
    }


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    return tmp_path / "hepdata"


def is_valid(folder: Path) -> bool:
    """Ask the validator in a process of its own: it leaves files open, and warns of itself."""
    code = "from hepdata_validator.cli import validate; validate()"
    arguments = ["-W", "ignore", "-c", code, "--directory", str(folder)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return "is valid" in done.stdout


def test_limits_and_yields_are_a_valid_submission(
    make_config: MakeConfig, make_book: MakeBook, valid: Path
) -> None:
    found = results(make_config, make_book)
    files = write_hepdata(found, valid)
    assert is_valid(valid)
    assert {path.name for path in files} == {
        "submission.yaml",
        "limits.yaml",
        "p_values.yaml",
        "yields_sr.yaml",
        "yields_cr.yaml",
    }
    limits = table(valid, "limits")
    assert [one["value"] for one in limits["independent_variables"][0]["values"]] == [1000, 2000]
    assert limits["dependent_variables"][0]["header"] == {"name": "Expected limit", "units": "pb"}
    expected, band = limits["dependent_variables"][0]["values"][1], found[1].limits.expected
    assert expected["value"] == pytest.approx(0.5 * band[2], rel=1e-4)
    inner, outer = (one["asymerror"] for one in expected["errors"])
    assert expected["value"] + inner["plus"] == pytest.approx(0.5 * band[3], rel=1e-4)
    assert expected["value"] + outer["minus"] == pytest.approx(0.5 * band[0], rel=1e-4)
    observed = columns(limits)["Observed limit"]
    assert observed == pytest.approx([0.5 * one.limits.observed for one in found], rel=1e-4)
    p_values = columns(table(valid, "p_values"))
    assert p_values["Observed"] == pytest.approx(
        [one.significance.observed_p_value for one in found], rel=1e-4
    )


def test_yields_are_those_of_the_book(
    make_config: MakeConfig, make_book: MakeBook, valid: Path
) -> None:
    found = results(make_config, make_book)
    write_hepdata(found, valid)
    content = table(valid, "yields_sr")
    assert content["independent_variables"][0]["values"][2] == {"low": 2.0, "high": 4.0}
    yields = columns(content)
    assert yields["Data"] == [103.0, 50.0, 17.0]
    assert yields["ttbar"] == [80.0, 40.0, 10.0]
    assert yields["zprime_m1000"] == yields["zprime_m2000"] == [1.0, 6.0, 3.0]
    after = content["dependent_variables"][-1]
    assert after["qualifiers"] == [{"name": "Signal", "value": "zprime_m2000"}]
    total, error = found[1].fit.postfit[1].total, found[1].fit.postfit[1].errors
    assert [one["value"] for one in after["values"]] == pytest.approx(total, rel=1e-4)
    errors = [one["errors"][0]["symerror"] for one in after["values"]]
    assert errors == pytest.approx(error, rel=1e-4)


def test_what_is_blinded_is_not_in_the_tables(
    make_config: MakeConfig, make_book: MakeBook, valid: Path
) -> None:
    write_hepdata(results(make_config, make_book, blind={"sr": (1.0, 2.0)}), valid)
    assert is_valid(valid)
    assert columns(table(valid, "yields_sr"))["Data"] == [103.0, "-", 17.0]
    assert set(columns(table(valid, "limits"))) == {"Expected limit"}
    assert set(columns(table(valid, "p_values"))) == {"Expected with a signal of strength 1"}
    write_hepdata(results(make_config, make_book, blind=["sr"]), valid)
    assert "Data" not in columns(table(valid, "yields_sr"))
    assert "Data" in columns(table(valid, "yields_cr"))


def test_signals_without_a_mass_are_rows_by_name(
    make_config: MakeConfig, make_book: MakeBook, valid: Path
) -> None:
    first, _ = results(make_config, make_book)
    object.__setattr__(first, "mass_gev", None)
    write_hepdata([first], valid)
    assert is_valid(valid)
    content = table(valid, "limits_of_signals")
    assert content["independent_variables"][0]["values"] == [{"value": "zprime_m1000"}]

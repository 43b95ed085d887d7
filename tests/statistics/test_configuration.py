from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cabinetry import configuration

from intccms.errors import FitError, InputError
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import (
    POI,
    build_config,
    build_workspace,
    check_cabinetry_config,
    signal_processes,
)
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig


def names(entries: list[dict[str, object]]) -> list[object]:
    return [entry["Name"] for entry in entries]


def test_channels_become_regions_and_processes_samples(config: Config, book: Book) -> None:
    built = build_config(config, book, "signal")
    assert configuration.validate(built)
    assert built["Regions"] == [
        {"Name": "sr", "Variable": "mass", "RegionPath": "sr/mass"},
        {"Name": "cr", "Variable": "mass", "RegionPath": "cr/mass"},
    ]
    assert built["Samples"] == [
        {"Name": "data", "SamplePath": "data", "Data": True},
        {"Name": "signal", "SamplePath": "signal", "Regions": ["sr"]},
        {"Name": "ttbar", "SamplePath": "ttbar"},
        {"Name": "wjets", "SamplePath": "wjets"},
    ]
    assert built["NormFactors"] == [
        {"Name": POI, "Samples": ["signal"], "Nominal": 1.0, "Bounds": [-10.0, 10.0]}
    ]


def test_a_source_is_one_systematic_of_the_processes_that_have_it(
    config: Config, book: Book
) -> None:
    assert build_config(config, book, "signal")["Systematics"] == [
        {
            "Name": "jes",
            "Type": "NormPlusShape",
            "Samples": ["signal", "ttbar", "wjets"],
            "Up": {"VariationPath": "jes_up"},
            "Down": {"VariationPath": "jes_down"},
        },
        {
            "Name": "pileup",
            "Type": "NormPlusShape",
            "Samples": ["ttbar"],
            "Up": {"VariationPath": "pileup_up"},
            "Down": {"VariationPath": "pileup_down"},
        },
    ]


@pytest.mark.parametrize("side", ["top_up", "top_down"])
def test_a_source_with_one_side_is_mirrored(config: Config, make_book: MakeBook, side: str) -> None:
    ttbar = {"nominal": [80.0, 40.0, 10.0], side: [70.0, 41.0, 11.0]}
    book = make_book({**SIGNAL_REGION, "ttbar": ttbar})
    top = build_config(config, book, "signal")["Systematics"][-1]
    assert top["Up"] == {"VariationPath": side}
    assert top["Down"] == {"Symmetrize": True}


def test_signals_are_found_by_name_in_any_case(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    signal = SIGNAL_REGION["signal"]
    processes = {"Zprime2000": signal, "my_signal": signal, **SIGNAL_REGION}
    book = make_book(processes)
    config = make_config(tuple(processes))
    assert signal_processes(config, book) == ("Zprime2000", "signal")
    assert signal_processes(make_config(tuple(processes), signals=["my_signal"]), book) == (
        "my_signal",
    )


def test_other_signals_are_left_out(make_config: MakeConfig, make_book: MakeBook) -> None:
    processes = {"zprime2000": SIGNAL_REGION["signal"], **SIGNAL_REGION}
    config = make_config(tuple(processes))
    built = build_config(config, make_book(processes), "zprime2000")
    assert names(built["Samples"]) == ["data", "zprime2000", "ttbar", "wjets"]
    assert built["NormFactors"][0]["Samples"] == ["zprime2000"]
    assert built["Systematics"][0]["Samples"] == ["zprime2000", "ttbar", "wjets"]


def test_without_a_signal_it_says_where_to_name_one(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    without = {name: SIGNAL_REGION[name] for name in ("ttbar", "wjets", "data")}
    config = make_config(tuple(without))
    with pytest.raises(InputError, match=r"no signal to fit .* statistics\.signals"):
        signal_processes(config, make_book(without))


def test_a_signal_that_was_not_filled_is_named(make_config: MakeConfig, book: Book) -> None:
    config = make_config((*SIGNAL_REGION, "signal2"), signals=["signal2"])
    with pytest.raises(InputError, match="no histograms of 'signal2'; did you mean 'signal'"):
        signal_processes(config, book)


def test_a_signal_without_events_cannot_be_fitted(config: Config, make_book: MakeBook) -> None:
    book = make_book({**SIGNAL_REGION, "signal": CONTROL_REGION["signal"]})
    with pytest.raises(FitError, match="signal has no events"):
        build_config(config, book, "signal")


def test_the_range_of_a_weak_signal_holds_its_error(config: Config, make_book: MakeBook) -> None:
    book = make_book({**SIGNAL_REGION, "signal": {"nominal": [0.0, 0.01, 0.02]}})
    low, high = build_config(config, book, "signal")["NormFactors"][0]["Bounds"]
    assert low == -high
    assert high == 10000.0  # 10 / sqrt(0.01**2 / 49 + 0.02**2 / 16) = 1923


def test_the_generated_file_is_written(config: Config, book: Book, tmp_path: Path) -> None:
    built = build_config(config, book, "signal")
    written = tmp_path / "out" / "statistics" / "cabinetry.yml"
    assert yaml.safe_load(written.read_text()) == built


def test_a_named_file_is_written_once_and_kept(
    make_config: MakeConfig, book: Book, tmp_path: Path
) -> None:
    config = make_config(cabinetry_config="mine.yml")
    edited = build_config(config, book, "signal")
    edited["Systematics"] = edited["Systematics"][:1]
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(edited))
    assert names(build_config(config, book, "signal")["Systematics"]) == ["jes"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("General: {}\n", "'.*' is a required property"),
        ("[1, 2", "expected"),
        ("- 1\n", "is not of type 'object'"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_clear_line(
    make_config: MakeConfig, book: Book, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(InputError, match=f"mine.yml: .*{reason}") as caught:
        build_config(make_config(cabinetry_config="mine.yml"), book, "signal")
    assert "\n" not in str(caught.value)


def test_a_file_without_the_signal_is_refused(
    make_config: MakeConfig, book: Book, tmp_path: Path
) -> None:
    config = make_config(cabinetry_config="mine.yml")
    edited = build_config(config, book, "signal")
    edited["Samples"] = [one for one in edited["Samples"] if one["Name"] != "signal"]
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(edited))
    with pytest.raises(InputError, match="no sample 'signal'"):
        build_config(config, book, "signal")


def test_channels_and_processes_of_the_run_only(make_config: MakeConfig, book: Book) -> None:
    chosen = ["signal", "ttbar", "data"]
    config = make_config(general={"channels": ["sr"], "processes": chosen})
    built = build_config(config, book, "signal")
    assert names(built["Regions"]) == ["sr"]
    assert names(built["Samples"]) == ["data", "signal", "ttbar"]
    assert built["Systematics"][0]["Samples"] == ["signal", "ttbar"]
    (channel,) = build_workspace(config, book, "signal").spec["channels"]
    assert [sample["name"] for sample in channel["samples"]] == ["signal", "ttbar"]


def test_a_signal_left_out_of_the_run_is_not_fitted(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    contents = {"zprime2000": SIGNAL_REGION["signal"], **SIGNAL_REGION}
    book, run = make_book(contents), {"processes": list(SIGNAL_REGION)}
    assert signal_processes(make_config(tuple(contents), run), book) == ("signal",)
    both = make_config(tuple(contents), run, signals=["zprime2000", "signal"])
    assert signal_processes(both, book) == ("signal",)


def test_data_left_out_of_the_run_are_not_looked_at(make_config: MakeConfig, book: Book) -> None:
    config = make_config(general={"processes": ["signal", "ttbar", "wjets"]})
    workspace = build_workspace(config, book, "signal")
    assert workspace.region("sr").blinded.all()
    observed = {one["name"]: one["data"] for one in workspace.spec["observations"]}
    assert observed["sr"] == [100.0, 48.0, 15.0]


def test_no_file_or_a_good_one_passes_the_check(
    make_config: MakeConfig, book: Book, tmp_path: Path
) -> None:
    config = make_config(cabinetry_config="mine.yml")
    check_cabinetry_config(make_config())
    check_cabinetry_config(config)
    build_config(config, book, "signal")
    assert (tmp_path / "mine.yml").exists()
    check_cabinetry_config(config)
    check_cabinetry_config(
        make_config(("signal", "ttbar", "wjets"), cabinetry_config="mine.yml")  # without data
    )


def test_a_file_is_checked_without_a_book(
    make_config: MakeConfig, book: Book, tmp_path: Path
) -> None:
    config = make_config(cabinetry_config="mine.yml")
    good = build_config(config, book, "signal")

    def refused(**blocks: object) -> str:
        (tmp_path / "mine.yml").write_text(yaml.safe_dump({**good, **blocks}))
        with pytest.raises(InputError, match="mine.yml") as caught:
            check_cabinetry_config(config)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    region, sample = good["Regions"][0], good["Samples"][2]
    assert "'Name' is a required property" in refused(Regions=[{}])
    assert "no NormFactor is the POI" in refused(
        NormFactors=[{**good["NormFactors"][0], "Name": "other"}]
    )
    assert "no observable 'sr/mas'; did you mean 'sr/mass'" in refused(
        Regions=[{**region, "RegionPath": "sr/mas"}]
    )
    assert "no process 'ttbr'; did you mean 'ttbar'" in refused(
        Samples=[good["Samples"][0], {**sample, "SamplePath": "ttbr"}]
    )
    (tmp_path / "mine.yml").write_bytes(b"\xff\x00: [")
    with pytest.raises(InputError, match="mine.yml"):
        check_cabinetry_config(config)

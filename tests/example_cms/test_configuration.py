"""What the configuration says, against the public facts about samples and data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import matplotlib.colors
import pytest
import yaml
from matplotlib.figure import Figure

from example_cms.configs import cuts
from example_cms.configs.datasets import BACKGROUNDS, REDIRECTORS
from example_cms.configs.signals import MASSES_GEV, SIGNALS, of_width
from example_cms.configs.years import YEARS
from intccms.new_analysis import EXAMPLES
from intccms.schema import Config, FunctionSpec, load_config
from intccms.schema.base import ObjVar

NAME = "example_cms.configs.configuration:config"
MADE = {("ttbar_reco", None)}
MADE |= {
    (jet, f"jer_{name}") for jet in ("Jet", "FatJet") for name in ("resolution", "scale_factor")
}
MADE |= {("event", "seed"), ("Flag", "jetVetoMap"), ("Jet", "type1_share")}


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(NAME)


@pytest.fixture(scope="module")
def facts(shared_data: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((shared_data / "facts.yaml").read_text())
    return found


def references(config: Config) -> Iterator[ObjVar]:
    functors: list[FunctionSpec] = [
        *config.good_object_masks.analysis,
        *config.ghost_observables,
        *(observable for channel in config.channels for observable in channel.observables),
        *(channel.selection for channel in config.channels if channel.selection),
        *(mask for entry in config.datasets.datasets for mask in entry.lumi_mask if mask),
        config.preprocess.skimming.selection,
    ]
    for functor in functors:
        yield from functor.use
    for year in YEARS:
        for correction in config.corrections_for(year.name):
            yield from (arg for arg in correction.args if isinstance(arg, ObjVar))
            yield from correction.target


def test_samples_and_cross_sections_are_those_of_the_facts(
    config: Config, facts: dict[str, Any]
) -> None:
    known = facts["example_cms"]["datasets"]
    for entry in config.datasets.datasets:
        for directory, year, xsec in zip(
            entry.directories, entry.years, entry.cross_sections, strict=True
        ):
            sample = Path(directory).name
            if sample.startswith("ZprimeToTT") or entry.is_data:
                assert xsec == 1
            else:
                assert known[year][sample]["xsec_pb"] == xsec
    assert list(BACKGROUNDS) == [
        name for name in facts["example_cms"]["processes"] if name in BACKGROUNDS
    ]
    assert set(REDIRECTORS) == set(facts["example_cms"]["redirectors_seen_in_notebooks"])


def test_every_directory_has_a_source_that_is_in_the_facts(
    config: Config, facts: dict[str, Any], root: Path
) -> None:
    tables = {
        year.name: yaml.safe_load(
            (root / f"example_cms/datasets/{year.name}/sources.yaml").read_text()
        )
        for year in YEARS
    }
    listed = {
        (year, Path(directory).name)
        for entry in config.datasets.datasets
        for directory, year in zip(entry.directories, entry.years, strict=True)
    }
    assert listed == {(year, sample) for year, table in tables.items() for sample in table}
    for year, sample in listed:
        names = tables[year][sample]
        names = [names] if isinstance(names, str) else names
        found = facts["example_cms"]["datasets"][year].get(sample)
        if found is not None:
            assert set(names) <= set(found["das"])
        stems = [name.rsplit("-v", 1)[0] for name in names]
        assert len(stems) == len(set(stems)), "two versions hold the same events"


def test_2016_is_its_second_part_only(config: Config, facts: dict[str, Any]) -> None:
    (data,) = (entry for entry in config.datasets.datasets if entry.is_data)
    eras = [Path(one).name[-1] for one, y in zip(data.directories, data.years, strict=True)]
    assert "".join(eras) == "GHBCDEFABCD"
    text = " ".join(str(entry.file) for entry in config.corrections_for("2016"))
    assert "APV" not in text
    per_era = facts["luminosity"]["per_era_inverse_pb"]
    eras_2016 = per_era["2016postVFP"]["G"] + per_era["2016postVFP"]["H"]
    assert config.general.lumi_for("2016") == pytest.approx(eras_2016, abs=1)
    for year in ("2017", "2018"):
        assert config.general.lumi_for(year) == pytest.approx(per_era[year]["total"], abs=3)
        assert year[2:] in YEARS[int(year) - 2016].golden_json


def test_calibrations_are_those_of_the_facts(facts: dict[str, Any]) -> None:
    known = facts["example_cms"]["corrections"]
    for year in YEARS:
        key = year.pog.removesuffix("_UL")
        assert year.jec == known["jec_campaigns"][key]
        assert year.pileup == known["pileup_keys"][key]
        assert Path(year.golden_json).name == facts["golden_json"][year.name]


def test_signals_have_three_widths_and_each_its_mass(config: Config) -> None:
    assert [len(of_width(percent)) for percent in (1, 10, 30)] == [17, 22, 22]
    assert {signal.mass_gev for signal in SIGNALS} >= {400, 2000, 9000}
    signal = next(one for one in SIGNALS if one.process == "zprime_m2000_w600")
    assert (signal.sample, signal.xsec_pb) == ("ZPrimeToTT_M2000_W600", 0.006689)
    assert config.statistics.masses_gev == MASSES_GEV
    assert config.statistics.signals == tuple(of_width(10))


def test_every_column_it_reads_is_kept_in_a_skim(config: Config) -> None:
    kept = config.preprocess.branches
    for ref in references(config):
        if ref not in MADE:
            assert ref.obj in kept, ref
            assert ref.field is None or ref.field in kept[ref.obj], ref


def test_the_skim_reads_nothing_that_a_correction_moves(config: Config) -> None:
    moved = {ref for c in config.corrections_for("2018") for ref in c.target}
    assert not moved & set(config.preprocess.skimming.use)
    assert "MET" not in {ref.obj for ref in config.preprocess.skimming.use}


def test_each_year_has_its_own_triggers_and_filters() -> None:
    muon_pt = ak.Array([[60.0], [60.0], [40.0], [60.0], [60.0]])
    flags = ak.Array([[True] * 3 + [False, True], [True] * 4 + [False], [True] * 5])
    fired = {"Mu50": [False] * 5, "TkMu50": [True, False, True, True, True]}
    of_2016 = ak.zip({name: ak.Array(values) for name, values in fired.items()})
    assert list(cuts.skim_selection(of_2016, muon_pt, *flags).all("skim")) == [1, 0, 0, 1, 0]
    fired = {"Mu50": [False] * 5, "OldMu100": [True] * 5, "IsoMu27": [True] * 5}
    of_2018 = ak.zip({name: ak.Array(values) for name, values in fired.items()})
    assert list(cuts.skim_selection(of_2018, muon_pt, *flags).all("skim")) == [1, 1, 0, 0, 0]


def test_channels_differ_in_the_b_tag_alone() -> None:
    columns = (
        ak.Array([[60.0], [60.0], [60.0], [60.0]]),
        ak.Array([[0.1, 0.9], [0.1, 0.2], [0.9], [0.9]]),
        ak.Array([[500.0], [500.0], [], [500.0]]),
        ak.Array([100.0, 100.0, 100.0, 40.0]),
    )
    chosen = {
        has: list(cuts.channel_selection(*columns, has_b_tag=has).all("selected"))
        for has in (True, False)
    }
    assert chosen == {True: [1, 0, 0, 0], False: [0, 1, 0, 0]}


def test_every_process_has_a_colour_and_a_label_that_matplotlib_can_draw(config: Config) -> None:
    plotting = config.plotting
    names = [entry.name for entry in config.datasets.datasets]
    assert sorted(plotting.process_order) == sorted(names)
    assert set(plotting.process_colors) == set(names) - {"data"}
    colors = [matplotlib.colors.to_hex(plotting.process_colors[name]) for name in BACKGROUNDS]
    assert len(set(colors)) == len(colors)
    figure = Figure()
    assert set(plotting.channel_labels) == {channel.name for channel in config.channels}
    for label in (*plotting.process_labels.values(), *plotting.channel_labels.values()):
        figure.text(0, 0, label)
    figure.canvas.draw()


@pytest.mark.parametrize("name", ["kinematics.py", "observables.py", "reconstruction.py"])
def test_what_both_examples_have_is_the_same_in_each(name: str) -> None:
    root = Path(__file__).resolve().parents[2]
    texts = {(root / one / "configs" / name).read_text() for one in EXAMPLES}
    assert len(texts) == 1
    folder = root / "example_cms"
    assert not [path for path in folder.rglob("*.py") if "example_opendata" in path.read_text()]

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import matplotlib
import matplotlib.colors
import pytest
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from matplotlib.figure import Figure

from example_opendata.configs.configuration import config as source
from intccms.schema import Config, FunctionSpec, load_config
from intccms.schema.base import ObjVar

NAME = "example_opendata.configs.configuration:config"
COMPUTED = "ttbar_reco"


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(NAME)


def references(config: Config) -> Iterator[ObjVar]:
    """Every reference of the configuration to event data."""
    functors: list[FunctionSpec] = [
        *config.good_object_masks.analysis,
        *config.ghost_observables,
        *(observable for channel in config.channels for observable in channel.observables),
        *(channel.selection for channel in config.channels if channel.selection),
        *(mask for entry in config.datasets.datasets for mask in entry.lumi_mask if mask),
    ]
    if config.baseline_selection:
        functors.append(config.baseline_selection)
    for spec in functors:
        yield from spec.use
    for correction in config.corrections_for(None):
        yield from (arg for arg in correction.args if isinstance(arg, ObjVar))


def test_it_validates_by_name_and_as_a_dict(config: Config) -> None:
    assert load_config(source).sha256 == config.sha256


def test_datasets_are_one_signal_four_backgrounds_and_data(config: Config) -> None:
    entries = {entry.name: entry for entry in config.datasets.datasets}
    assert list(entries) == [
        "signal",
        "ttbar_semilep",
        "ttbar_had",
        "ttbar_lep",
        "wjets",
        "data",
    ]
    assert [name for name, entry in entries.items() if entry.is_data] == ["data"]
    assert {name: entry.keys() for name, entry in entries.items()} == {
        name: (name,) for name in entries
    }
    xsecs = {name: entry.cross_sections[0] for name, entry in entries.items()}
    assert xsecs["signal"] == 1
    assert xsecs["ttbar_semilep"] == pytest.approx(364.31088)
    assert xsecs["ttbar_had"] == pytest.approx(380.11432)
    assert xsecs["ttbar_lep"] == pytest.approx(87.3348)
    assert xsecs["wjets"] == 61526.7


def test_every_column_it_reads_is_kept_in_a_skim(config: Config) -> None:
    kept = config.preprocess.branches
    for ref in references(config):
        if ref.obj == COMPUTED:
            continue
        assert ref.obj in kept
        assert ref.field is None or ref.field in kept[ref.obj]


def test_lumi_mask_is_for_data_only(config: Config) -> None:
    with_mask = [e.name for e in config.datasets.datasets if any(e.lumi_mask)]
    assert with_mask == ["data"]


def test_variations_are_those_of_the_jet_scale_the_weights_and_the_rates(config: Config) -> None:
    sources = {
        source.name: correction.type
        for correction in config.corrections_for(None)
        for source in correction.uncertainty_sources
    }
    objects = [name for name, kind in sources.items() if kind == "object"]
    assert len(objects) == 27
    assert sources.keys() - set(objects) == {
        "pileup",
        "muon_id_sf",
        "muon_iso_sf",
        "muon_trigger_sf",
        "xsec_ttbar",
        "xsec_wjets",
        "lumi",
    }


def test_nothing_moves_the_jets_nominally(config: Config) -> None:
    by_name = {correction.name: correction for correction in config.corrections_for(None)}
    assert not by_name["jes"].has_nominal
    assert not by_name["lumi"].has_nominal
    assert by_name["muon_id_sf"].has_nominal


def test_selections_read_no_jet_momentum(config: Config) -> None:
    functors = [config.baseline_selection, *(channel.selection for channel in config.channels)]
    masks = [mask for mask in config.good_object_masks.analysis if mask.object == "Jet"]
    for spec in (*functors, *masks):
        assert spec is not None
        assert ("Jet", "pt") not in spec.use


def test_every_process_has_a_colour_and_a_label_that_matplotlib_can_draw(config: Config) -> None:
    plotting = config.plotting
    names = [entry.name for entry in config.datasets.datasets]
    assert sorted(plotting.process_order) == sorted(names)
    assert set(plotting.process_colors) == set(names) - {"data"}
    colors = [matplotlib.colors.to_hex(color) for color in plotting.process_colors.values()]
    assert len(set(colors)) == len(colors)
    labels = [o.label for channel in config.channels for o in channel.observables]
    figure = Figure()
    assert set(plotting.channel_labels) == {channel.name for channel in config.channels}
    for label in (*plotting.process_labels.values(), *plotting.channel_labels.values(), *labels):
        figure.text(0, 0, label)
    figure.canvas.draw()


@pytest.fixture
def real_events(shared_data: Path) -> ak.Array:
    """200 events of a 2015 open-data sample; its columns are read when they are touched."""
    path = shared_data / "nano" / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    return NanoEventsFactory.from_root(
        {str(path): "Events"}, schemaclass=NanoAODSchema, mode="virtual"
    ).events()


def arguments(spec: FunctionSpec, events: ak.Array, made: ak.Array | None = None) -> list[ak.Array]:
    found = []
    for ref in spec.use:
        columns = made if ref.obj == COMPUTED else events[ref.obj]
        found.append(columns if ref.field is None else columns[ref.field])
    return found


# about cross-references and masses that the file lacks
@pytest.mark.filterwarnings("ignore::RuntimeWarning:coffea.nanoevents")
def test_functions_take_real_nanoaod(config: Config, real_events: ak.Array) -> None:
    events = real_events
    for mask in config.good_object_masks.analysis:
        is_good = mask.function(*arguments(mask, events))
        events = ak.with_field(events, events[mask.object][is_good], mask.object)
    (ghost,) = config.ghost_observables
    made = ak.zip(dict(zip(ghost.names, ghost.function(*arguments(ghost, events)), strict=True)))
    assert config.baseline_selection is not None
    for spec in (config.baseline_selection, *(c.selection for c in config.channels)):
        assert spec is not None
        selection = spec.function(*arguments(spec, events))
        assert len(selection.all(selection.names[-1])) == len(events) == 200
    for channel in config.channels:
        for observable in channel.observables:
            values = observable.function(*arguments(observable, events, made))
            assert len(values) == 200
            assert not ak.any(ak.is_none(values))

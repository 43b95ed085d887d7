"""A small Run 2: every process in every year, one sample of each, a few masses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import pytest

from example_cms.configs.configuration import config as source
from example_cms.configs.datasets import BACKGROUNDS
from intccms.engine.calls import Caller
from intccms.engine.corrections import Factors
from intccms.engine.objects import Objects, from_events
from intccms.engine.variations import VariationPlan, plan_variations
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import load_config
from nanosample import write_sample

SIGNALS = ("zprime_m1000_w100", "zprime_m2000_w200", "zprime_m3000_w300")
N_EVENTS = 300
# Of a process with several samples the one that the selection keeps most of.
KEPT_SAMPLES = ("HT-800To1200", "HT-800to1200", "ST_tW_top_5f", "QCD_HT1000to1500", "WZ")


def small(config: dict[str, Any]) -> dict[str, Any]:
    """One sample a process and year, all eras of data, and only some of the signals."""
    entries = []
    for entry in config["datasets"]["datasets"]:
        directories = entry["directories"]
        kept = [i for i, one in enumerate(directories) if one.rstrip("/").endswith(KEPT_SAMPLES)]
        columns = ("directories", "cross_sections", "years") if kept else ()
        entries.append(entry | {key: tuple(entry[key][i] for i in kept) for key in columns})
    general = config["general"] | {"processes": [*SIGNALS, *BACKGROUNDS, "data"]}
    return config | {"datasets": {"datasets": entries}, "general": general}


@pytest.fixture(scope="session")
def run2_config() -> dict[str, Any]:
    return small(source)


@pytest.fixture(scope="session")
def run2(tmp_path_factory: pytest.TempPathFactory, run2_config: dict[str, Any]) -> Path:
    """Folder of the sample: read it, never write to it."""
    out = tmp_path_factory.mktemp("run2")
    config = load_config(run2_config)
    write_sample(out, config, files_per_process=1, events_per_file=N_EVENTS, is_lean=True)
    return out


class Chunk:
    """Events of one file with what the configuration applies to them."""

    def __init__(self, path: Path, base_dir: Path, plan: VariationPlan, n_events: int) -> None:
        events = open_source(str(path), "Events").events(0, n_events, ReadMeter(), {})
        self.plan = plan
        self.objects: Objects = from_events(events)
        self.factors = Factors(lambda name: base_dir / name, Caller.of_chunk("some", "uuid", 0))

    def correction(self, name: str) -> Any:
        return next(one for one in self.plan.corrections if one.name == name)

    def nominal(self, name: str, objects: Objects) -> Any:
        return self.factors.nominal(self.correction(name), objects)

    def varied(self, name: str, source_name: str, direction: Any, objects: Objects) -> Any:
        correction = self.correction(name)
        (found,) = (s for s in correction.uncertainty_sources if s.name == source_name)
        return self.factors.varied(correction, found, direction, objects)


def chunk(
    path: Path, base_dir: Path, *, process: str, year: str = "2018", n_events: int = N_EVENTS
) -> Chunk:
    config = load_config(source)
    if n_events != N_EVENTS:  # a real file, before NanoAODv9: large jets have no generated ones
        kept = [one for one in config.corrections[year] if not one.name.startswith("fatjet_")]
        config = config.model_copy(update={"corrections": {year: tuple(kept)}})
    plan = plan_variations(config, process, year=year, is_data=process == "data")
    return Chunk(path, base_dir, plan, n_events)


def simulated(run2: Path, sample: str = "TTToSemiLeptonic", year: str = "2018") -> Path:
    (path,) = (run2 / "example_cms" / "datasets" / year / sample).glob("*.root")
    return path


def loops(*columns: ak.Array) -> Iterator[list[tuple[Any, ...]]]:
    """Events as lists of tuples, for plain loops."""
    for event in zip(*(ak.to_list(ak.Array(column)) for column in columns), strict=True):
        yield list(zip(*event, strict=True))


@pytest.fixture(scope="session")
def real_corrections(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path, run2: Path
) -> Path:
    """Folder in which the files of 2018 are the real ones."""
    base = tmp_path_factory.mktemp("real")
    real, own = shared_data / "corrections", Path("example_cms/corrections")
    (base / own / "2018").mkdir(parents=True)
    names = {"puWeights": "LUM", "muon_Z": "MUO", "jet_jerc": "JME", "btagging": "BTV"}
    for name, group in (names | {"jetvetomaps": "JME"}).items():
        (base / own / "2018" / f"{name}.json.gz").symlink_to(
            real / f"{group}_2018_UL_{name}.json.gz"
        )
    (base / own / "jer_smear.json.gz").symlink_to(real / "JME_jer_smear.json.gz")
    for name in ("btag_yields.json", "jmar.json.gz", "fatJet_jerc.json.gz"):  # not at hand
        (base / own / "2018" / name).symlink_to(run2 / own / "2018" / name)
    return base

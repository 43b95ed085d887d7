"""The events that the workshop selected in two real files, as far as they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest

from example_opendata.configs.configuration import config as example
from example_opendata.configs.corrections import CORRECTIONS
from intccms.schema import load_config
from tests.engine import small
from tests.engine.conftest import write_file

TABLES = {
    "signal": "output_signal_22BAB5D2-9E3F-E440-AB30-AE6DBFDF6C83.csv",
    "tt_had": "output_tt_had_009086DB-1E42-7545-9A35-1433EC89D04B.csv",
}
FILES = {
    "muon_Z.json.gz": "muon_Z_integration_challenge.json.gz",
    "puWeights.json.gz": "puWeights_integration_challenge.json.gz",
}
WEIGHTS = [one for one in CORRECTIONS if one["type"] == "event" and "file" in one]
Events = np.ndarray


@pytest.fixture(scope="module", params=TABLES)
def events(request: pytest.FixtureRequest, shared_data: Path) -> Events:
    path = shared_data / "reference" / TABLES[request.param]
    return np.genfromtxt(path, delimiter=",", names=True)


def written(path: Path, events: Events) -> Path:
    """Write a file of events with the muon, pile-up and mass of each."""
    rng, n = np.random.default_rng(1), len(events)
    muon = {
        "pt": events["mu_pt"].astype(np.float32),
        "eta": (events["mu_abseta"] * rng.choice([-1, 1], n)).astype(np.float32),
        "phi": np.zeros(n, dtype=np.float32),
        "mass": np.full(n, 0.10566, dtype=np.float32),
        "charge": np.ones(n, dtype=np.int32),
    }
    ones = np.ones(n, dtype=np.int64)
    columns = {
        "Muon": ak.zip({name: ak.unflatten(values, ones) for name, values in muon.items()}),
        "Pileup_nTrueInt": events["pileup"].astype(np.float32),
        "genWeight": events["weight"],
        "mtt": events["mtt"],
        "run": np.ones(n, dtype=np.uint32),
        "luminosityBlock": np.ones(n, dtype=np.uint32),
        "event": np.arange(n, dtype=np.uint64),
    }
    return write_file(path, columns)


def test_the_muons_of_the_workshop_pass_the_cuts_of_the_example(events: Events) -> None:
    assert events["mu_pt"].min() > 55
    assert events["mu_abseta"].max() < 2.4


def test_the_signal_stands_where_its_mass_is(shared_data: Path) -> None:
    mtt = np.genfromtxt(shared_data / "reference" / TABLES["signal"], delimiter=",", names=True)
    lower, middle, upper = np.percentile(mtt["mtt"], [25, 50, 75])
    assert lower < 2000 < upper
    assert middle == pytest.approx(2000, rel=0.05)


def test_the_weights_of_the_example_on_them_are_those_of_correctionlib(
    events: Events, shared_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / Path(WEIGHTS[0]["file"]).parent
    folder.mkdir(parents=True)
    for name, real in FILES.items():
        (folder / name).symlink_to(shared_data / "corrections" / real)
    quantity = load_config(example).active_channels[0].observables[0]
    edges = list(quantity.binning)
    mass: Any = small.observable("mtt", lambda x: x, ("event", "mtt"), edges=edges)
    got = small.outcome(
        written(tmp_path / "events.root", events),
        small.config(
            general={"base_dir": str(tmp_path)},
            corrections=WEIGHTS,
            channels=[small.channel("all", [mass])],
        ),
    )
    variations = [("nominal", "", "")]
    for one in WEIGHTS:
        source = one["uncertainty_sources"][0]
        sides = zip(("up", "down"), source.get("up_and_down_idx", ("up", "down")), strict=True)
        variations += [(f"{source['name']}_{side}", one["name"], word) for side, word in sides]
    for label, moved, word in variations:
        weight = events["weight"].copy()
        for one in WEIGHTS:
            path = folder / Path(one["file"]).name
            factor = correctionlib.CorrectionSet.from_file(str(path))[one["key"]]
            index = word if one["name"] == moved else "nominal"
            eta, pt = (events[name].astype("f4").astype("f8") for name in ("mu_abseta", "mu_pt"))
            is_pileup = "puWeights" in one["file"]
            inputs = (events["pileup"],) if is_pileup else (eta, pt)
            weight *= factor.evaluate(*inputs, index)
        small.same(got[label], small.filled(events["mtt"], weight, edges))
    assert set(got) == {label for label, _, _ in variations}

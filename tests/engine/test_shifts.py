"""Object corrections and their shifts, against a plain loop over the variations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.engine.calls import Caller
from tests.engine import small
from tests.engine.small import channel, function, observable

JET_ETA, JET_PT = ("Jet", "eta"), ("Jet", "pt")
MET_PT = ("PuppiMET", "pt")


def rescale(pt: ak.Array, eta: ak.Array, met: ak.Array) -> ak.Array:
    return 1.0 + 0.02 * np.abs(eta) + 0.0001 * met


def delta(size: float) -> Callable[..., Any]:
    return lambda eta, pt: 1.0 + size * (1 + np.abs(eta)) / (1 + 0.01 * pt)


def by_closure(size: float) -> Callable[..., Any]:
    """Do the same as `delta`, in the way of users: flatten, evaluate, unflatten."""

    def shift(eta: ak.Array, pt: ak.Array) -> ak.Array:
        flat = [np.asarray(ak.flatten(x), dtype=np.float64) for x in (eta, pt)]
        return ak.unflatten(delta(size)(*flat), ak.num(eta))

    return shift


def smear(size: float) -> Callable[..., Any]:
    return lambda pt: 1.0 + size / pt


def recoil(met: ak.Array, pt: ak.Array) -> ak.Array:
    return 0.05 * ak.sum(pt, axis=1)


CORRECTIONS: list[dict[str, Any]] = [
    {
        "name": "jec",
        "type": "object",
        "use_correctionlib": False,
        "target": JET_PT,
        "args": [JET_PT, JET_ETA, MET_PT],
        "nominal_function": rescale,
        "uncertainty_sources": [
            {
                "name": name,
                "args": [JET_ETA, JET_PT],
                "up_function": make(0.08),
                "down_function": make(-0.08),
                "is_delta": True,
            }
            for name, make in (("jes", delta), ("jes_closure", by_closure))
        ],
    },
    {
        "name": "jer",
        "type": "object",
        "use_correctionlib": False,
        "target": [JET_PT, ("Jet", "mass")],
        "args": [JET_PT],
        "nominal_function": smear(4.0),
        "uncertainty_sources": [
            {"name": "jer", "up_function": smear(9.0), "down_function": smear(1.0)}
        ],
    },
    {
        "name": "recoil",
        "type": "object",
        "use_correctionlib": False,
        "op": "add",
        "target": MET_PT,
        "args": [MET_PT, JET_PT],
        "nominal_function": recoil,
        "uncertainty_sources": [
            {
                "name": "unclustered",
                "args": [MET_PT],
                "up_function": lambda met: 0.2 * met,
                "down_function": lambda met: -0.2 * met,
                "is_delta": True,
            }
        ],
    },
]
MUON_SCALE = {
    "name": "muon_scale",
    "type": "object",
    "target": ("Muon", "pt"),
    "use": [("Muon", "pt")],
    "op": "mult",
    "up_function": lambda pt: ak.ones_like(pt) * 1.1,
    "symmetrise": True,
}
LABELS = [
    "nominal",
    *(
        f"{name}_{side}"
        for name in ("jes", "jes_closure", "jer", "unclustered", "muon_scale")
        for side in ("up", "down")
    ),
]


def chained() -> dict[str, Any]:
    masks = [
        {"object": "Muon", **function(lambda muons: muons.pt > 40, ("Muon", None))},
        {"object": "Jet", **function(lambda jets: jets.pt > 35, ("Jet", None))},
    ]
    hard = function(lambda met: met > 60, MET_PT)
    quantities = [
        observable("ht", lambda jets: ak.sum(jets.pt, axis=1), ("Jet", None)),
        observable("mass", lambda mass: ak.sum(mass, axis=1), ("Jet", "mass")),
        observable("met", lambda met: met, MET_PT),
    ]
    muons = observable("muons", lambda pt: ak.sum(pt, axis=1), ("Muon", "pt"))
    return small.config(
        corrections=CORRECTIONS,
        systematics=[MUON_SCALE],
        good_object_masks={"analysis": masks},
        baseline_selection=function(lambda jets: ak.num(jets) >= 2, ("Jet", None)),
        channels=[channel("hard", quantities, hard), channel("any", [muons])],
    )


def f32(array: ak.Array) -> ak.Array:
    return ak.values_astype(array, np.float32)


def by_hand(events: ak.Array, label: str) -> dict[tuple[str, str], np.ndarray]:
    """Do what `chained` says for one variation only."""
    source, _, side = label.rpartition("_")
    sign = 1.0 if side == "up" else -1.0
    jets, met, muons = events.Jet, events.PuppiMET.pt, events.Muon
    pt, eta, mass = jets.pt, jets.eta, jets.mass
    pt = f32(pt * rescale(pt, eta, met))
    if source in ("jes", "jes_closure"):  # on top: of the corrected momentum
        pt = f32(pt * delta(0.08 * sign)(eta, pt))
    factor = smear({"jer_up": 9.0, "jer_down": 1.0}.get(label, 4.0))(pt)
    pt, mass = f32(pt * factor), f32(mass * factor)
    met = f32(met + recoil(met, pt))
    if source == "unclustered":
        met = f32(met + sign * 0.2 * met)
    mu_pt = muons.pt
    if source == "muon_scale":
        mu_pt = f32(mu_pt * (1.0 + 0.1 * sign))
    good = pt > 35
    keep = ak.sum(good, axis=1) >= 2
    pt, mass, good, met, mu_pt = (x[keep] for x in (pt, mass, good, met, mu_pt))
    weight = np.asarray(events.genWeight[keep], dtype=np.float64)
    hard = np.asarray(met > 60)
    values = {
        ("hard", "ht"): (ak.sum(pt[good], axis=1), hard),
        ("hard", "mass"): (ak.sum(mass[good], axis=1), hard),
        ("hard", "met"): (met, hard),
        ("any", "muons"): (ak.sum(mu_pt[mu_pt > 40], axis=1), np.ones(len(hard), bool)),
    }
    return {key: small.filled(v[cut], weight[cut]) for key, (v, cut) in values.items()}


@pytest.fixture(scope="module")
def events(few: Path) -> ak.Array:
    return small.load([few])


@pytest.fixture(scope="module")
def chain(few: Path) -> dict[str, Any]:
    return small.run(few, chained())


@pytest.mark.parametrize("label", LABELS)
def test_chained_corrections_equal_a_plain_loop(
    chain: dict[str, Any], events: ak.Array, label: str
) -> None:
    for key, expected in by_hand(events, label).items():
        small.same(small.templates(chain, *key)[label], expected)


def test_nothing_else_is_varied(chain: dict[str, Any]) -> None:
    assert set(small.templates(chain, "hard", "ht")) == set(LABELS)


def test_every_variation_of_the_chain_differs_from_the_nominal(chain: dict[str, Any]) -> None:
    for label in LABELS[1:]:
        assert any(
            not np.array_equal(
                small.templates(chain, *key)[label], small.templates(chain, *key)["nominal"]
            )
            for key in chain["histograms"]
        ), label


def test_slabs_of_one_shift_give_the_same(few: Path, chain: dict[str, Any]) -> None:
    configuration = chained()
    configuration["general"]["batch_memory_mb"] = 0.1
    again = small.run(few, configuration)
    for key, sums in chain["histograms"].items():
        assert again["histograms"][key].sumw == sums.sumw


# Masks that use another collection.


def far_from(jets: ak.Array, muons: ak.Array) -> ak.Array:
    nearest = jets.metric_table(muons)
    return ak.all(nearest > 0.8, axis=2)


CLEANING = {"object": "Jet", **function(far_from, ("Jet", None), ("Muon", None))}
GOOD_MUONS = {"object": "Muon", **function(lambda mu: mu.pt > 60, ("Muon", None))}


@pytest.mark.parametrize("first", ["muons", "jets"])
def test_jets_are_cleaned_against_the_muons_of_the_variation(
    few: Path, events: ak.Array, first: str
) -> None:
    masks = [GOOD_MUONS, CLEANING] if first == "muons" else [CLEANING, GOOD_MUONS]
    jets = observable("n", ak.num, JET_PT, edges=[-0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 99])
    got = small.outcome(
        few,
        small.config(
            systematics=[MUON_SCALE],
            good_object_masks={"analysis": masks},
            channels=[channel("all", [jets])],
        ),
    )
    for label, scale in (("nominal", 1.0), ("muon_scale_up", 1.1), ("muon_scale_down", 0.9)):
        muons = events.Muon
        if first == "muons":
            muons = muons[f32(muons.pt * scale) > 60]
        pairs = ak.cartesian([events.Jet, muons], nested=True)
        phi = (pairs["0"].phi - pairs["1"].phi + np.pi) % (2 * np.pi) - np.pi
        distance = np.hypot(pairs["0"].eta - pairs["1"].eta, phi)
        number = ak.sum(ak.all(distance > 0.8, axis=2), axis=1)
        expected = small.filled(number, events.genWeight, [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 99])
        small.same(got[label], expected)
    moved = not np.array_equal(got["nominal"], got["muon_scale_up"])
    assert moved == (first == "muons")


# Top-level columns.


def test_a_shifted_top_level_column_reaches_later_corrections(few: Path, tmp_path: Path) -> None:
    shift = {
        "name": "rho",
        "type": "object",
        "target": ("event", "rho"),
        "use": [("event", "rho")],
        "op": "mult",
        "up_function": lambda rho: ak.ones_like(rho) * 2,
        "down_function": lambda rho: ak.ones_like(rho) * 0.5,
    }
    area = {
        "name": "area",
        "type": "object",
        "use_correctionlib": False,
        "op": "subtract",
        "target": JET_PT,
        "args": [("event", "rho"), ("Jet", "area")],
        "nominal_function": lambda rho, area: rho * area,
    }
    from tests.engine.conftest import make_events, write_file

    columns = make_events(300, seed=3)
    columns["rho"] = columns.pop("Pileup_nTrueInt")
    path = write_file(tmp_path / "rho.root", columns)
    ht = observable("ht", lambda pt: ak.sum(pt, axis=1), JET_PT)
    several = observable("rho", lambda rho: rho, ("rho", None))
    busy = function(lambda rho: rho > 30, ("rho", None))  # the same column by its other name
    got = small.run(
        path,
        small.config(
            corrections=[_as_correction(shift), area],
            channels=[channel("all", [ht, several], busy)],
        ),
    )
    jets, rho = columns["Jet"], ak.Array(columns["rho"])
    for label, scale in (("nominal", 1.0), ("rho_up", 2.0), ("rho_down", 0.5)):
        moved = f32(rho * scale)
        total = ak.sum(f32(jets.pt - moved * jets.area), axis=1)
        kept = moved > 30
        weights = columns["genWeight"][kept]
        for name, values in (("ht", total), ("rho", moved)):
            small.same(
                small.templates(got, "all", name)[label], small.filled(values[kept], weights)
            )


def _as_correction(old: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in old.items() if key != "symmetrise"}


# Random numbers: the same in every variation.


def noise(pt: ak.Array) -> ak.Array:
    return ak.unflatten(1 + 0.2 * np.random.normal(size=ak.count(pt)), ak.num(pt))


def random_chain(**parts: Any) -> dict[str, Any]:
    jes = {
        "name": "jes",
        "type": "object",
        "target": JET_PT,
        "use": [JET_ETA, JET_PT],
        "op": "mult",
        "up_function": delta(0.1),
        "down_function": delta(-0.1),
    }
    smearing = {
        "name": "smearing",
        "type": "object",
        "use_correctionlib": False,
        "target": JET_PT,
        "args": [JET_PT],
        "nominal_function": noise,
    }
    selection = function(lambda pt: ak.sum(pt > 60, axis=1) >= 1, JET_PT)
    quantity = observable("ht", lambda pt: ak.sum(pt, axis=1), JET_PT)
    return small.config(
        corrections=[jes, smearing],
        channels=[channel("all", [quantity], selection)],
        baseline_selection=function(lambda muons: ak.num(muons) == 1, ("Muon", "phi")),
        **parts,
    )


def seeded(path: Path) -> None:
    with small.uproot.open(path) as file:
        uuid = str(file.file.uuid)
    np.random.seed(Caller.of_chunk("mc", uuid, 0).seed)


@pytest.mark.parametrize("label", ["nominal", "jes_up", "jes_down"])
def test_later_random_smearing_is_that_of_the_nominal(
    few: Path, events: ak.Array, label: str
) -> None:
    got = small.outcome(few, random_chain())
    factor = {"jes_up": delta(0.1), "jes_down": delta(-0.1)}.get(label, lambda eta, pt: 1.0)
    pt = f32(events.Jet.pt * factor(events.Jet.eta, events.Jet.pt))
    seeded(few)
    pt = f32(pt * noise(pt))
    kept = (ak.num(events.Muon) == 1) & (ak.sum(pt > 60, axis=1) >= 1)
    small.same(got[label], small.filled(ak.sum(pt, axis=1)[kept], events.genWeight[kept]))


def lucky(pt: ak.Array) -> ak.Array:
    return ak.unflatten(np.random.uniform(size=ak.count(pt)) < 0.7, ak.num(pt))


@pytest.mark.parametrize("batch_memory_mb", [500, 0.05])
@pytest.mark.parametrize("label", ["nominal", "muon_scale_up", "muon_scale_down"])
def test_a_mask_that_draws_is_called_once_per_variation(
    few: Path, events: ak.Array, label: str, batch_memory_mb: float
) -> None:
    scale = {"muon_scale_up": 1.1, "muon_scale_down": 0.9}.get(label, 1.0)
    masks = [{"object": "Muon", **function(lucky, ("Muon", "pt"))}]
    total = observable("total", lambda pt: ak.sum(pt, axis=1), ("Muon", "pt"))
    got = small.outcome(
        few,
        small.config(
            general={"batch_memory_mb": batch_memory_mb},
            systematics=[MUON_SCALE],
            good_object_masks={"analysis": masks},
            channels=[channel("all", [total])],
        ),
    )
    pt = f32(events.Muon.pt * scale)
    seeded(few)
    pt = pt[lucky(pt)]
    small.same(got[label], small.filled(ak.sum(pt, axis=1), events.genWeight))


@pytest.mark.parametrize("label", ["nominal", "draws_up", "draws_down"])
def test_a_variation_that_draws_sees_the_same_numbers_on_both_sides(
    few: Path, events: ak.Array, label: str
) -> None:
    source = {
        "name": "draws",
        "type": "object",
        "target": JET_PT,
        "use": [JET_PT],
        "op": "mult",
        "up_function": noise,
        "down_function": lambda pt: 2 - noise(pt),
    }
    got = small.outcome(
        few,
        small.config(
            systematics=[source],
            baseline_selection=function(lambda muons: ak.num(muons) == 1, ("Muon", "phi")),
            channels=[channel("all", [observable("ht", lambda pt: ak.sum(pt, axis=1), JET_PT)])],
        ),
    )
    seeded(few)
    drawn = noise(events.Jet.pt)
    factor = {"draws_up": drawn, "draws_down": 2 - drawn}.get(label, 1.0)
    kept = ak.num(events.Muon) == 1
    total = ak.sum(f32(events.Jet.pt * factor), axis=1)
    small.same(got[label], small.filled(total[kept], events.genWeight[kept]))

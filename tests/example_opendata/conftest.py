"""Events made by hand: decays with known masses, and many random ones."""

from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np
import pytest
import vector

Momentum = vector.MomentumObject4D
Decay = Callable[..., tuple[Momentum, Momentum]]
Objects = Callable[[list[list[Momentum]]], ak.Array]
Sample = Callable[[int], dict[str, ak.Array]]


@pytest.fixture(scope="session")
def decay() -> Decay:
    """Decay a four-vector into two, along a direction in its rest frame."""

    def _decay(
        parent: Momentum, first: float, second: float, *, theta: float, phi: float
    ) -> tuple[Momentum, Momentum]:
        mass = parent.mass
        e_first = (mass**2 + first**2 - second**2) / (2 * mass)
        p = np.sqrt(e_first**2 - first**2)
        px, py, pz = (
            p * np.sin(theta) * np.cos(phi),
            p * np.sin(theta) * np.sin(phi),
            p * np.cos(theta),
        )
        one = vector.obj(px=px, py=py, pz=pz, E=e_first).boost_p4(parent)
        other = vector.obj(px=-px, py=-py, pz=-pz, E=mass - e_first).boost_p4(parent)
        return one, other

    return _decay


@pytest.fixture(scope="session")
def objects() -> Objects:
    """Turn four-vectors, one list per event, into a collection as NanoAOD has it."""

    def _objects(events: list[list[Momentum]]) -> ak.Array:
        columns = {
            name: [[float(getattr(p4, name)) for p4 in event] for event in events]
            for name in ("pt", "eta", "phi", "mass")
        }
        n_objects = [len(event) for event in events]
        return ak.zip(
            {
                name: ak.unflatten(np.array(sum(values, []), dtype=np.float64), n_objects)
                for name, values in columns.items()
            }
        )

    return _objects


@pytest.fixture(scope="session")
def sample() -> Sample:
    """Make random events, some of which lack a muon, jets or a large-radius jet."""

    def _collection(rng: np.random.Generator, counts: np.ndarray, lowest_gev: float) -> ak.Array:
        n = int(counts.sum())
        columns = {
            "pt": lowest_gev + rng.exponential(100, n),
            "eta": rng.normal(0, 1.2, n),
            "phi": rng.uniform(-np.pi, np.pi, n),
            "mass": rng.exponential(15, n),
        }
        return ak.zip(
            {name: ak.unflatten(v.astype(np.float32), counts) for name, v in columns.items()}
        )

    def _sample(n_events: int) -> dict[str, ak.Array]:
        rng = np.random.default_rng(20161)
        met = {"pt": rng.exponential(80, n_events), "phi": rng.uniform(-np.pi, np.pi, n_events)}
        return {
            "muons": _collection(rng, rng.integers(0, 3, n_events), 50),
            "jets": _collection(rng, rng.poisson(2.7, n_events), 20),
            "fatjets": _collection(rng, rng.integers(0, 3, n_events), 450),
            "met": ak.zip({name: v.astype(np.float32) for name, v in met.items()}),
        }

    return _sample

"""A small NanoAOD-like file, its corrections and a configuration that uses all of the engine."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import correctionlib.schemav2 as cs
import numpy as np
import pytest
import uproot

from tests.skimming.conftest import mounted, s3_server  # noqa: F401 - fixtures

N_EVENTS = 3000
N_JES = 27


def make_events(n: int, seed: int) -> dict[str, ak.Array]:
    """Draw events of which a good part passes; the same seed gives the same events."""
    rng = np.random.default_rng(seed)

    def jagged(counts: np.ndarray, **fields: np.ndarray) -> ak.Array:
        return ak.zip({name: ak.unflatten(values, counts) for name, values in fields.items()})

    def kinematics(total: int, scale: float) -> dict[str, np.ndarray]:
        return {
            "pt": (20 + rng.exponential(scale, total)).astype(np.float32),
            "eta": rng.uniform(-2.5, 2.5, total).astype(np.float32),
            "phi": rng.uniform(-np.pi, np.pi, total).astype(np.float32),
            "mass": rng.uniform(1, 20, total).astype(np.float32),
        }

    n_mu, n_jet, n_fat = rng.poisson(1.1, n), rng.poisson(4, n), rng.poisson(1.2, n)
    muon = kinematics(n_mu.sum(), 80)
    muon["charge"] = rng.choice(np.array([-1, 1], dtype=np.int32), n_mu.sum())
    muon["tightId"] = rng.random(n_mu.sum()) < 0.9
    jet = kinematics(n_jet.sum(), 60)
    jet["btagDeepB"] = rng.random(n_jet.sum()).astype(np.float32)
    jet["area"] = rng.uniform(0.4, 0.6, n_jet.sum()).astype(np.float32)
    fat = kinematics(n_fat.sum(), 300)
    return {
        "Muon": jagged(n_mu, **muon),
        "Jet": jagged(n_jet, **jet),
        "FatJet": jagged(n_fat, **fat),
        "PuppiMET_pt": rng.exponential(80, n).astype(np.float32),
        "PuppiMET_phi": rng.uniform(-np.pi, np.pi, n).astype(np.float32),
        "HLT_TkMu50": rng.random(n) < 0.8,
        "Pileup_nTrueInt": rng.uniform(5, 50, n).astype(np.float32),
        "genWeight": (rng.choice([-1.0, 1.0, 1.0, 1.0], n) * rng.uniform(90, 110, n)).astype("f4"),
        "run": np.ones(n, dtype=np.uint32),
        "luminosityBlock": np.arange(n, dtype=np.uint32) // 100,
        "event": np.arange(n, dtype=np.uint64),
    }


def write_file(path: Path, events: dict[str, ak.Array]) -> Path:
    """Write a TTree as NanoAOD has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(a).content for name, a in map_arrays(events)})
        file["Events"].extend(dict(map_arrays(events)))
    return path


def map_arrays(events: dict[str, ak.Array]) -> list[tuple[str, ak.Array]]:
    """Return the columns as awkward arrays."""
    return [(name, ak.Array(values)) for name, values in events.items()]


def _variable(name: str, kind: str = "real") -> cs.Variable:
    return cs.Variable(name=name, type=kind)


def _binned(edges: list[float], values: list[float], name: str) -> cs.Binning:
    return cs.Binning(nodetype="binning", input=name, edges=edges, content=values, flow="clamp")


def write_corrections(path: Path) -> Path:
    """Write a pileup weight, a muon scale factor and 27 jet-energy uncertainties."""

    def by_systematic(contents: dict[str, object]) -> cs.Category:
        return cs.Category(
            nodetype="category",
            input="systematic",
            content=[cs.CategoryItem(key=key, value=value) for key, value in contents.items()],
        )

    pileup = cs.Correction(
        name="pileup",
        version=1,
        inputs=[_variable("n"), _variable("systematic", "string")],
        output=_variable("weight"),
        data=by_systematic(
            {
                "nominal": _binned([0, 20, 40, 60], [0.9, 1.0, 1.2], "n"),
                "up": _binned([0, 20, 40, 60], [0.8, 1.05, 1.3], "n"),
                "down": _binned([0, 20, 40, 60], [0.95, 1.0, 1.1], "n"),
            }
        ),
    )
    muon = cs.Correction(
        name="muon",
        version=1,
        inputs=[_variable("abseta"), _variable("pt"), _variable("systematic", "string")],
        output=_variable("weight"),
        data=by_systematic(
            {
                "nominal": _binned([0, 1.2, 2.5], [0.98, 0.96], "abseta"),
                "systup": _binned([0, 1.2, 2.5], [0.99, 0.98], "abseta"),
                "systdown": _binned([0, 1.2, 2.5], [0.97, 0.94], "abseta"),
            }
        ),
    )
    jes = [
        cs.Correction(
            name=f"jes{i}",
            version=1,
            inputs=[_variable("eta"), _variable("pt")],
            output=_variable("delta"),
            data=_binned([0, 50, 100, 1000], [0.05 / (i + 1), 0.03, 0.01 + 0.001 * i], "pt"),
        )
        for i in range(N_JES)
    ]
    corrections = cs.CorrectionSet(schema_version=2, corrections=[pileup, muon, *jes])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(corrections.model_dump_json(exclude_unset=True))
    return path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two files of one process, a file of data and the corrections."""
    base = tmp_path_factory.mktemp("inputs")
    for i in range(2):
        write_file(base / f"mc/{i}.root", make_events(N_EVENTS, seed=i))
    data = make_events(500, seed=7)
    del data["genWeight"], data["Pileup_nTrueInt"]
    write_file(base / "data/0.root", data)
    write_corrections(base / "corrections.json")
    return base


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a few hundred simulated events."""
    return write_file(tmp_path_factory.mktemp("few") / "few.root", make_events(300, seed=3))

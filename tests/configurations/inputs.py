"""Small files with everything that the configurations of this folder ask for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib.schemav2 as cs
import numpy as np
import uproot

from tests.engine.conftest import map_arrays

N_EVENTS = 150
Shape = cs.Formula | cs.Category


def write_inputs(folder: Path) -> None:
    """Write three simulated datasets, data, a golden JSON and two correction files."""
    for seed, name in enumerate(("ttbar", "wjets/HT-100", "wjets/HT-200", "signal")):
        _write(folder / name / "0.root", make_events(N_EVENTS, seed))
        _write(folder / name / "1.root", make_events(N_EVENTS // 3, seed + 10))
    _write(folder / "data/0.root", make_events(N_EVENTS, 20, is_data=True))
    (folder / "wjets/files.txt").write_text("# listing\n\nHT-100/0.root\nHT-200/0.root")
    (folder / "golden.json").write_text(json.dumps({"1": [[1, 2], [4, 9]], "2": [[3, 3]]}))
    for scale, year in ((1.0, "2016"), (1.5, "2017")):
        text = corrections(scale).model_dump_json(exclude_unset=True)
        with gzip.open(folder / f"{year}.json.gz", "wt") as file:
            file.write(text)


def _write(path: Path, events: dict[str, Any], tree: str = "Events") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = dict(map_arrays(events))
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: ak.type(array).content for name, array in columns.items()})
        file[tree].extend(columns)


def make_events(n: int, seed: int, *, is_data: bool = False) -> dict[str, Any]:
    """Draw events; the same seed gives the same events."""
    rng = np.random.default_rng(seed)

    def objects(mean: float, scale: float, **more: str) -> ak.Array:
        counts = rng.poisson(mean, n)
        total = int(counts.sum())
        fields: dict[str, Any] = {
            "pt": 20 + rng.exponential(scale, total),
            "eta": rng.uniform(-2.6, 2.6, total),
            "phi": rng.uniform(-np.pi, np.pi, total),
            "mass": rng.uniform(1, 20, total),
        }
        fields = {name: values.astype(np.float32) for name, values in fields.items()}
        draw = {
            "unit": lambda: rng.random(total).astype(np.float32),
            "flag": lambda: rng.random(total) < 0.9,
            "charge": lambda: rng.choice(np.array([-1, 1], dtype=np.int32), total),
            "flavour": lambda: rng.choice(np.array([0, 4, 5], dtype=np.int32), total),
            "mode": lambda: rng.choice(np.array([0, 1, 10], dtype=np.int32), total),
            "level": lambda: rng.integers(0, 5, total).astype(np.int32),
        }
        fields |= {name: draw[kind]() for name, kind in more.items()}
        return ak.zip({name: ak.unflatten(values, counts) for name, values in fields.items()})

    events: dict[str, Any] = {
        "Muon": objects(1.2, 60, tightId="flag", charge="charge"),
        "Electron": objects(1.2, 50, cutBased="level", charge="charge"),
        "Tau": objects(1.0, 40, decayMode="mode", idDeepTau="level", charge="charge"),
        "Jet": objects(
            3.5, 50, btag="unit", rawFactor="unit", hadronFlavour="flavour", area="unit"
        ),
        "FatJet": objects(1.0, 250, tag="unit"),
        "HLT_IsoMu24": rng.random(n) < 0.85,
        "rho": rng.uniform(5, 40, n).astype(np.float32),
        "run": rng.choice(np.array([1, 2], dtype=np.uint32), n),
        "luminosityBlock": rng.integers(1, 9, n).astype(np.uint32),
        "event": (np.arange(n) + 1000 * seed).astype(np.uint64),
    }
    for met in ("MET", "PuppiMET"):
        events[f"{met}_pt"] = rng.exponential(70, n).astype(np.float32)
        events[f"{met}_phi"] = rng.uniform(-np.pi, np.pi, n).astype(np.float32)
    if is_data:
        events["Jet"] = events["Jet"][[f for f in events["Jet"].fields if f != "hadronFlavour"]]
        return events
    events["genWeight"] = (rng.choice([-1.0, 1, 1, 1], n) * rng.uniform(90, 110, n)).astype("f4")
    events["Pileup_nTrueInt"] = rng.uniform(5, 50, n).astype(np.float32)
    events["LHEScaleWeight"] = ak.unflatten(rng.normal(1, 0.2, 3 * n).astype("f4"), np.full(n, 3))
    return events


def _variable(name: str) -> cs.Variable:
    kinds = {"systematic": "string", "year": "string", "wp": "string", "flavor": "int"}
    return cs.Variable(name=name, type=kinds.get(name, "int" if name == "dm" else "real"))


def _formula(expression: str, *variables: str) -> cs.Formula:
    return cs.Formula(
        nodetype="formula", parser="TFormula", expression=expression, variables=list(variables)
    )


def _choice(name: str, contents: dict[Any, Shape]) -> cs.Category:
    items = [cs.CategoryItem(key=key, value=value) for key, value in contents.items()]
    return cs.Category(nodetype="category", input=name, content=items)


def _correction(name: str, inputs: list[str], data: Shape) -> cs.Correction:
    return cs.Correction(
        name=name,
        version=1,
        inputs=[_variable(one) for one in inputs],
        output=cs.Variable(name="value", type="real"),
        data=data,
    )


def corrections(scale: float) -> cs.CorrectionSet:
    """Make corrections of the shapes that CMS publishes; `scale` stands for the year."""

    def pileup(size: float) -> Shape:
        return _formula(f"1+{scale * size}*(x-25)", "nTrueInt")

    def muon(size: float) -> Shape:
        return _formula(f"0.95+{scale * size}*x+0.0001*y", "abseta", "pt")

    def electron(size: float) -> Shape:
        by_wp = {
            wp: _formula(f"{central}+{scale * size}*x+0.0002*y", "eta", "pt")
            for wp, central in (("Medium", 0.97), ("Tight", 0.93))
        }
        return _choice("wp", by_wp)

    def b_tag(size: float) -> Shape:
        shapes = {
            kind: _formula(f"1+{scale * size * slope}*(x-0.5)*y", "discr", "abseta")
            for kind, slope in ((0, 0.5), (4, 1.0), (5, 2.0))
        }
        return _choice("flavor", shapes)

    def tau(shift: float) -> Shape:
        scales = {
            dm: _formula(f"{1 + slope + scale * shift}+0.0*x", "pt")
            for dm, slope in ((0, 0.01), (1, 0.02), (10, -0.01))
        }
        return _choice("dm", scales)

    def jet(size: float) -> Shape:
        return _formula(f"1+{0.02 + scale * size}*x*x-0.0001*y", "eta", "pt")

    def by(make: Any, **sizes: float) -> cs.Category:
        return _choice("systematic", {name: make(size) for name, size in sizes.items()})

    delta = [
        _correction(
            f"jes_{name}", ["eta", "pt"], _formula(f"{scale * size}+0*x+0.001*y", "eta", "pt")
        )
        for name, size in (("absolute", 0.02), ("flavour", 0.05), ("stat", 0.03))
    ]
    return cs.CorrectionSet(
        schema_version=2,
        corrections=[
            _correction(
                "pileup", ["nTrueInt", "systematic"], by(pileup, nominal=0.01, up=0.014, down=0.005)
            ),
            _correction(
                "muon_id",
                ["abseta", "pt", "systematic"],
                by(muon, nominal=0.01, systup=0.03, systdown=-0.02),
            ),
            _correction(
                "electron_id",
                ["year", "systematic", "wp", "eta", "pt"],
                _choice(
                    "year",
                    {
                        "2016": by(electron, sf=0.01, sfup=0.02, sfdown=0.0),
                        "2017": by(electron, sf=0.02, sfup=0.05, sfdown=-0.01),
                    },
                ),
            ),
            _correction(
                "b_tag",
                ["systematic", "flavor", "abseta", "pt", "discr"],
                by(b_tag, central=0.1, up_hf=0.2, down_hf=0.05, up_jes=0.3, down_jes=-0.1),
            ),
            _correction(
                "tau_energy", ["pt", "dm", "systematic"], by(tau, nom=0.0, up=0.03, down=-0.02)
            ),
            _correction(
                "jet_energy",
                ["eta", "pt", "systematic"],
                by(jet, nominal=0.0, up=0.02, down=-0.015),
            ),
            *delta,
        ],
    )

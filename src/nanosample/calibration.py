"""Response of the calorimeter, pile-up, and correction files with the names of the real ones."""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from correctionlib import schemav2

from intccms.errors import InputError
from nanosample.settings import settings
from nanosample.vectors import Array

N_BINS = 99  # of the number of true interactions, one wide, as in the real files
SIMULATED = (23.0, 8.0)  # mean and width of the profiles
CERTIFIED = (24.5, 7.2)
MEAN_SHIFT = 0.046  # uncertainty of the inelastic cross section
REGIONS = "BEFH"  # of |eta|: barrel, endcap, forward, hadron forward

Node = dict[str, Any] | float

_MUON = re.compile(r"^NUM_\w+_DEN_\w+$")
_JET = re.compile(r"^(?P<campaign>.+?)_(?P<level>[A-Za-z0-9]+)_(?P<algorithm>AK\d+\w+)$")
_YEAR = re.compile(r"(201[678])")


def raw_factor(pt: Array, eta: Array, area: Array, rho: Array) -> Array:
    """Give ``Jet_rawFactor``: applied to the raw jet, L1FastJet and L2Relative make `pt` again."""
    jets = settings()["jets"]
    region = np.searchsorted(jets["region_edges"], np.abs(eta), side="right")
    raw_pt = pt / np.array(jets["response"])[region] + jets["pileup_slope"] * rho * area
    return np.asarray(1 - raw_pt / pt)


def pileup_drawn(n_events: int, rng: np.random.Generator, *, is_data: bool) -> Array:
    """Draw the mean number of interactions of each event's bunch crossing."""
    profile = _profile(*(CERTIFIED if is_data else SIMULATED))
    below = np.searchsorted(np.cumsum(profile), rng.random(n_events), side="right")
    return np.minimum(below, N_BINS - 1) + rng.random(n_events)


def pileup_weights(shift: float = 0.0) -> Array:
    """Give the weight of each bin that turns the simulated profile into that of the data.

    `shift` moves the data's mean by that many standard uncertainties.
    """
    mean, width = CERTIFIED
    target = _profile(mean * (1 + shift * MEAN_SHIFT), width)
    return np.minimum(target / _profile(*SIMULATED), 5.0)


def _profile(mean: float, width: float) -> Array:
    """Normalised contents of the bins."""
    centers = np.arange(N_BINS) + 0.5
    contents = np.exp(-0.5 * ((centers - mean) / width) ** 2) + 1e-9
    return np.asarray(contents / contents.sum())


def correction_set(file: str, keys: Iterable[str]) -> schemav2.CorrectionSet:
    """Make the corrections of one file: whole families, under the names of real files.

    Parameters
    ----------
    file
        Path as the configuration gives it.
    keys
        Keys that the configuration asks of the file.

    Raises
    ------
    InputError
        If a key is of no known family.
    """
    made: dict[str, schemav2.Correction] = {}
    for key in sorted(set(keys)):
        if key not in made:
            made.update({entry.name: entry for entry in _family(file, key)})
    return schemav2.CorrectionSet(
        schema_version=2,
        description="Synthetic, made by `intccms sample`: not for physics.",
        corrections=[made[name] for name in sorted(made)],
    )


def _family(file: str, key: str) -> list[schemav2.Correction]:
    """Make the family to which a key belongs."""
    for name, make in _MAKERS.items():
        if re.search(name, key, re.IGNORECASE):
            return [make(key)]
    if _MUON.match(key):
        return [_muon(name) for name in sorted({*settings()["muon_keys"], key})]
    if key.endswith("_shape"):
        return [_btag_shape(key, file)]
    if found := _JET.match(key):
        return _jet_energy(found["campaign"], found["level"], found["algorithm"])
    raise InputError(
        f"{file}: cannot make a correction called {key!r}; known are pile-up (…_goldenJSON), "
        "muons (NUM_…_DEN_…), jets (<campaign>_<level>_AK4PFchs, JERSmear, PUJetID_eff, "
        "<campaign>_V1 for veto maps) and b tags (…_shape, …_yield_ratio)"
    )


def category(name: str, contents: Mapping[str, Node] | Mapping[int, Node]) -> Node:
    """Choose by the value of a string or an integer."""
    content = [{"key": key, "value": value} for key, value in contents.items()]
    return {"nodetype": "category", "input": name, "content": content}


def binning(edges: Mapping[str, Sequence[float]], content: Sequence[Node]) -> Node:
    """Choose by bin of one or more inputs; what lies outside gets the nearest bin."""
    axes = {"inputs": list(edges), "edges": [list(axis) for axis in edges.values()]}
    return {"nodetype": "multibinning", **axes, "content": list(content), "flow": "clamp"}


def formula(expression: str, *names: str) -> Node:
    """Compute from the named inputs, which the expression calls x, y and z."""
    table: dict[str, Any] = {"nodetype": "formula", "expression": expression}
    return table | {"parser": "TFormula", "variables": list(names)}


def correction(name: str, inputs: str, data: Node) -> schemav2.Correction:
    """Make a correction whose inputs are named in one string: reals, ``systematic:string`` …."""
    variables = [name_type.partition(":") for name_type in inputs.split()]
    return schemav2.Correction.model_validate(
        {
            "name": name,
            "version": 1,
            "inputs": [{"name": n, "type": kind or "real"} for n, _, kind in variables],
            "output": {"name": "weight", "type": "real"},
            "data": data,
        }
    )


def _pileup(key: str) -> schemav2.Correction:
    """Make weights of the number of interactions, with the inelastic cross section varied."""
    edges = {"NumTrueInteractions": [float(edge) for edge in range(N_BINS + 1)]}
    shifts = {"nominal": 0.0, "up": 1.0, "down": -1.0}
    data = {name: binning(edges, pileup_weights(by).tolist()) for name, by in shifts.items()}
    return correction(key, "NumTrueInteractions weights:string", category("weights", data))


def _muon(key: str) -> schemav2.Correction:
    """Make an efficiency ratio, below one, in bins of |eta| and transverse momentum."""
    loss = 0.004 + 0.003 * (zlib.crc32(key.encode()) % 7)  # 0.4 to 2.2 %, as in real files
    edges = settings()["muon_edges"]
    contents = []
    for eta, pt in itertools.product(*(range(len(axis) - 1) for axis in edges.values())):
        nominal = 1 - loss * (1 + 0.35 * eta) * (1 - 0.03 * pt)
        stat, syst = 4e-4 * (1 + 0.6 * pt), 0.004 + 0.0008 * pt + 0.001 * eta
        up, down = (nominal + sign * math.hypot(stat, syst) for sign in (1, -1))
        values = {"nominal": nominal, "stat": stat, "syst": syst, "systup": up, "systdown": down}
        contents.append(category("scale_factors", values))
    absolute = {"rule": formula("abs(x)", "eta"), "content": binning(edges, contents)}
    data: Node = {"nodetype": "transform", "input": "eta", **absolute}
    return correction(key, "eta pt scale_factors:string", data)


def _jet_energy(campaign: str, asked: str, algorithm: str) -> list[schemav2.Correction]:
    """Make all levels and sources of a campaign, and `asked` if it is none of them."""
    table = settings()
    jets, pt = table["jets"], "max(9,min(x,6500))"
    level1 = f"max(0.5,1-{jets['pileup_slope']}*y*z/max(x,1))"
    has_pileup = "Puppi" not in algorithm
    made: dict[str, Node] = {
        "L1FastJet": formula(level1, "JetPt", "JetA", "Rho") if has_pileup else 1.0,
        "L2Relative": _by_region(jets["response"]),
        "L3Absolute": 1.0,
        "L2L3Residual": 1.0,
        "Total": formula(f"0.021+0.045*exp(-{pt}/60)", "JetPt"),
    }
    for name, (high, low, regions, *_) in table["jet_sources"].items():
        inside = formula(f"{high}+{low}*exp(-{pt}/60)", "JetPt")
        made[name] = _by_region([inside if region in regions else 0.0 for region in REGIONS])
    if asked == "PtResolution":
        made = {asked: formula("sqrt(0.002+0.55/max(x,9)+(9+0.2*y)/max(x*x,81))", "JetPt", "Rho")}
    elif asked == "ScaleFactor":
        ratios = [{"nom": x, "up": x + 0.03, "down": x - 0.03} for x in jets["resolution_ratio"]]
        made = {asked: _by_region([category("systematic", ratio) for ratio in ratios])}
    made.setdefault(asked, made.get("Total", 0.0))
    return [
        correction(
            f"{campaign}_{level}_{algorithm}", jets["inputs"].get(level, "JetEta JetPt"), data
        )
        for level, data in made.items()
    ]


def _by_region(contents: Sequence[Node]) -> Node:
    """Choose by the size of pseudorapidity."""
    return binning(settings()["jets"]["edges"], [*reversed(contents), *contents])


def _smearing(key: str) -> schemav2.Correction:
    """Make the factor of the hybrid method, as the real file has it.

    A jet with a match is stretched away from the generated one; the others (``GenPt`` -1) get a
    random number that only depends on the event and the jet.
    """
    random = {"nodetype": "hashprng", "inputs": ["JetPt", "JetEta", "Rho", "EventID"]}
    wide = formula("1+sqrt(max(x*x-1,0))*y*z", "JERSF", "JER", "GenPt")
    unmatched: Node = {
        **{"nodetype": "transform", "input": "GenPt", "content": wide},
        "rule": random | {"distribution": "normal"},
    }
    matched = formula("1+(x-1)*(y-z)/y", "JERSF", "JetPt", "GenPt")
    edges = {"edges": [-1.0, 0.0, 1.0], "content": [unmatched, matched], "flow": "clamp"}
    inputs = "JetPt JetEta GenPt Rho EventID:int JER JERSF"
    return correction(key, inputs, {"nodetype": "binning", "input": "GenPt", **edges})


def _pileup_identification(key: str) -> schemav2.Correction:
    """Make efficiency ratios of jets that are no pile-up, by working point as in the real file."""
    edges = {"eta": [-5.0, -2.5, 2.5, 5.0], "pt": [20.0, 30.0, 40.0, 50.0]}
    points = {}
    for point, loss in {"L": 0.01, "M": 0.02, "T": 0.03}.items():
        shifts = {"nom": 0.0, "up": 0.6 * loss, "down": -0.6 * loss}
        ratios = [1 - loss * (2 - 0.5 * i) * (1 + (j != 1)) for j in range(3) for i in range(3)]
        sides = {name: binning(edges, [r + by for r in ratios]) for name, by in shifts.items()}
        points[point] = category("systematic", sides | {"MCEff": 0.95})
    inputs = "eta pt systematic:string workingpoint:string"
    return correction(key, inputs, category("workingpoint", points))


def _veto_map(key: str) -> schemav2.Correction:
    """Make a map that is not zero where jets are not to be trusted: one hot and one cold spot."""
    pi = 3.1415926536
    edges = {"eta": [-5.191, -2.5, -1.3, 0.9, 1.1, 5.191], "phi": [-pi, -1.57, -0.87, 2.1, 2.3, pi]}
    spots = [10.0 * ((i, j) in ((1, 1), (3, 3))) for i in range(5) for j in range(5)]
    table: dict[str, Any] = {"nodetype": "multibinning", "inputs": list(edges)}
    table |= {"edges": list(edges.values()), "content": spots, "flow": "error"}
    return correction(key, "type:string eta phi", category("type", {"jetvetomap": table}))


def _yield_ratio(key: str) -> schemav2.Correction:
    """Make what keeps yields as they were before the factors of b tags, by number of jets."""
    edges = {"n_jets": [-0.5, *(count + 0.5 for count in range(9))]}
    return correction(key, "n_jets", binning(edges, [1 - 0.004 * count for count in range(9)]))


def _btag_shape(key: str, file: str) -> schemav2.Correction:
    """Make factors in bins of flavour, pseudorapidity, momentum and discriminant.

    As in the real files only ``central`` knows all flavours; ``cferr…`` is for charm alone, all
    others are for light and bottom jets. Jet-energy sources that are independent between years
    also exist with the year in their name where the file's path tells it.
    """
    table = settings()
    sizes = dict(table["btag_sources"])
    year = _YEAR.search(file)
    for name, (high, _, _, *decorrelated) in table["jet_sources"].items():
        sizes[f"jes{name}"] = 0.003 + 0.3 * high
        if decorrelated and year:
            sizes[f"jes{name}_{year[1]}"] = sizes[f"jes{name}"]
    contents = {"central": _by_flavour((0, 4, 5), 0.0)}
    for flavours, sources in {(0, 5): sizes, (4,): table["btag_charm_sources"]}.items():
        for name, size in sources.items():
            contents[f"up_{name}"] = _by_flavour(flavours, size)
            contents[f"down_{name}"] = _by_flavour(flavours, -size)
    inputs = "systematic:string flavor:int abseta pt discriminant"
    return correction(key, inputs, category("systematic", contents))


def _by_flavour(flavours: Sequence[int], shift: float) -> Node:
    """Make factors linear in the score; a shift grows towards high scores and low momentum."""
    edges, tilts = settings()["btag_edges"], settings()["btag_tilt"]
    pairs = itertools.pairwise(edges["discriminant"])
    middles = [0.5 * (max(a, 0.0) + min(b, 1.0)) for a, b in pairs]
    contents: dict[int, Node] = {}
    for flavour in flavours:
        values = [
            1
            + tilts[flavour] * (x - 0.5) * (1 + 0.1 * eta) * (1 - 0.1 * pt)
            + shift * x * (1 - 0.15 * pt)
            for eta, pt, x in itertools.product(range(3), range(4), middles)
        ]
        contents[flavour] = binning(edges, [round(value, 6) for value in values])
    return category("flavor", contents)


_MAKERS: dict[str, Callable[[str], schemav2.Correction]] = {
    "goldenJSON|pile-?up": _pileup,
    "_yield_ratio$": _yield_ratio,
    "^JERSmear$": _smearing,
    "^PUJetID_eff$": _pileup_identification,
    r"^Summer\w+_V\d+$": _veto_map,
}

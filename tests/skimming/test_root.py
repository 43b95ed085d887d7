"""ROOT itself opens TTree and RNTuple skims and finds the same entries, sums and types."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.skimming import SkimColumns
from intccms.skimming.formats import columns_of
from tests.skimming.conftest import part, store_at

# For every column its type; for the named ones also the sum of values (of lists: of lengths, then
# of values).
PROGRAM = """
import json, sys, ROOT
frame = ROOT.RDataFrame("Events", sys.argv[1])
kinds = {str(name): str(frame.GetColumnType(name)) for name in frame.GetColumnNames()}
names = {name for name in kinds if "." not in name and not name.startswith("R_rdf")}
sums = {name: [] for name in names}
for name in names & set(sys.argv[2:]):
    if kinds[name].startswith("ROOT::VecOps"):
        loop = f"double s = 0; for (auto x : {name}) s += x; return s;"
        formulas = [f"(double){name}.size()", loop]
    else:
        formulas = [f"(double){name}"]
    sums[name] = [frame.Define("x", formula).Sum("x") for formula in formulas]
columns = {name: [kinds[name], *(s.GetValue() for s in found)] for name, found in sums.items()}
print(json.dumps({"n": int(frame.Count().GetValue()), "columns": columns}))
"""
SUMMED = ["run", "event", "genWeight", "HLT_IsoMu24", "LHE_Njets", "BeamSpot_type", "nJet"]
SUMMED += ["Muon_pt", "Muon_jetIdx", "Muon_tightId", "Muon_genPartFlav", "Jet_area"]
TYPES = {
    "float32": {"Float_t", "float"},
    "float64": {"Double_t", "double"},
    "bool": {"Bool_t", "bool"},
    "int8": {"Char_t", "std::int8_t", "signed char", "char"},
    "uint8": {"UChar_t", "std::uint8_t", "unsigned char"},
    "int16": {"Short_t", "std::int16_t", "short"},
    "int32": {"Int_t", "std::int32_t", "int"},
    "uint32": {"UInt_t", "std::uint32_t", "unsigned int"},
    "uint64": {"ULong64_t", "ULong_t", "std::uint64_t", "unsigned long"},
}


@pytest.fixture(scope="session")
def opened_by_root(
    root: Path, tmp_path_factory: pytest.TempPathFactory, require: Callable[[object, str], None]
) -> Callable[[Path], dict[str, Any]]:
    """Open a file with ROOT, which has an environment of its own."""
    python = root / ".servers/root/bin/python"
    require(python, "no ROOT here (make servers)")
    program = tmp_path_factory.mktemp("root") / "look.py"
    program.write_text(PROGRAM)

    def look(path: Path) -> dict[str, Any]:
        command = [str(python), str(program), str(path), *SUMMED]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return look


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_root_finds_the_same_entries_sums_and_types(
    tmp_path: Path, kept: Any, kind: str, opened_by_root: Any
) -> None:
    store = store_at(tmp_path, kind)
    written = [store.write(kept, SkimColumns(), part(chunk)) for chunk in range(2)]
    written = list(store.coalesce(written, 10_000))
    expected = dict(columns_of(tmp_path / written[0].path, kind, "Events"))
    found = opened_by_root(tmp_path / written[0].path)
    assert found["n"] == 2 * len(kept)
    assert set(found["columns"]) == set(expected)
    for name, values in expected.items():
        column_type, *sums = found["columns"][name]
        flat = ak.to_numpy(ak.flatten(values, axis=None))
        if name in SUMMED and values.ndim > 1:
            assert sums[0] == ak.sum(ak.num(values))
        if name in SUMMED:
            assert sums[-1] == pytest.approx(flat.astype(np.float64).sum(), rel=1e-12)
        inner = column_type.rpartition("<")[2].rstrip("> ") if "<" in column_type else column_type
        assert inner in TYPES[str(flat.dtype)], name

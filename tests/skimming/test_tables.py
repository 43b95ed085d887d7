"""The records of parts on their way to the client."""

from __future__ import annotations

import pickle

import numpy as np
from coffea.processor import accumulate

from intccms.datasets.contents import FileCount
from intccms.execution.checkpoints import decode, encode
from intccms.histograms.exact import ExactSums
from intccms.skimming import SkimPart
from intccms.skimming.writing import SkimTable

COLUMNS = tuple(f"Jet_{i}" for i in range(300))


def part(chunk: int) -> SkimPart:
    return SkimPart(
        dataset="ttbar",
        source="/store/a.root",
        uuid="u",
        file_index=0,
        n_listed=1,
        chunk=chunk,
        entry_start=chunk,
        entry_stop=chunk + 1,
        n_in=1,
        sumw=ExactSums.total(np.array([0.1, 1e20])).to_json(),
        fingerprint="f",
        source_events=9,
        source_digest="",
        path=f"ttbar/file_0/part_{chunk}.parquet",
        rows=(0, 1),
        columns=COLUMNS,
    )


COUNT = FileCount("ttbar", "/store/a.root", "/store/a.root", "u", 9)


def test_records_come_back_as_they_were() -> None:
    table = SkimTable.of(part(0)) + SkimTable.of(part(1))
    assert list(table.parts(part(7), [COUNT])) == [part(0), part(1)]


def test_names_of_branches_travel_once() -> None:
    tables = [{"skim_parts": SkimTable.of(part(i))} for i in range(50)]
    total = accumulate(tables)["skim_parts"]
    assert len(total.lines) == 50
    assert [len(table["skim_parts"].lines) for table in tables] == [1] * 50
    assert len(pickle.dumps(total)) < 50 * 600


def test_a_table_can_be_kept_without_pickle() -> None:
    table, codecs = SkimTable.of(part(3)), {"SkimTable": SkimTable}
    assert decode(encode(table, key="k", codecs=codecs), key="k", codecs=codecs) == table


def test_exact_sums_survive_json() -> None:
    for values in ([], [0.1, 1e20, -1e-5]):
        sums = ExactSums.total(np.array(values))
        assert ExactSums.from_json(sums.to_json()) == sums

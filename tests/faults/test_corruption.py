"""One byte of a file is another one: found where the format has a checksum, a limit where not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.reading.source import ReadMeter, open_source
from tests.faults.inputs import write_events

N = 2000
N_BYTES = 30  # that are changed, one at a time
CHECKED = {"zlib": uproot.ZLIB(1), "lz4": uproot.LZ4(4), "lzma": uproot.LZMA(1)}
UNCHECKED = {"zstd": uproot.ZSTD(1), "none": None}


def read_with_changed_bytes(path: Path, compression: uproot.compression.Compression | None) -> int:
    """Change bytes of a branch; count how often that is silent and gives other values."""
    values = np.random.default_rng(1).integers(0, 1000, N).astype(np.float32)
    write_events(path, {"x": ak.Array(values)}, compression=compression)
    with uproot.open(path) as file:
        branch = file["Events"]["x"]
        begin = int(branch.member("fBasketSeek")[0])
        n_bytes = int(branch.member("fBasketBytes")[0])
    whole, n_silent = bytearray(path.read_bytes()), 0
    places = np.random.default_rng(2).integers(begin + n_bytes // 4, begin + n_bytes, N_BYTES)
    for number, place in enumerate(places):
        whole[place] ^= 16
        changed = path.with_name(f"{path.stem}-{number}.root")
        changed.write_bytes(whole)
        whole[place] ^= 16
        events = open_source(str(changed), "Events").events(0, N, ReadMeter(), {})
        with suppress(Exception):  # of whatever library: it is found, and so a loss
            n_silent += not np.array_equal(ak.to_numpy(events.x), values)
    return n_silent


@pytest.mark.parametrize("name", CHECKED)
def test_where_the_compression_has_a_checksum_a_changed_byte_is_an_error(
    tmp_path: Path, name: str
) -> None:
    assert read_with_changed_bytes(tmp_path / "a.root", CHECKED[name]) == 0


@pytest.mark.parametrize("name", UNCHECKED)
def test_where_it_has_none_a_changed_byte_may_be_silent(tmp_path: Path, name: str) -> None:
    """As docs/ways.md says: such files have to be right on their disk."""
    assert read_with_changed_bytes(tmp_path / "a.root", UNCHECKED[name]) > 0

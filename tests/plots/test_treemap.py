"""Rectangles whose areas are sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intccms.metrics.inspector import aggregate_statistics, inspect_files
from intccms.plots.treemap import packed, treemap
from tests.metrics.inspector.small import write_file


def test_tiles_fill_the_box_and_bear_the_bytes() -> None:
    boxes = packed([6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], (0.0, 0.0, 6.0, 4.0))
    areas = [width * height for _, _, width, height in boxes]
    assert areas == pytest.approx([6, 6, 4, 3, 2, 2, 1])  # the example of the paper
    assert packed([]) == []
    assert max(x + width for x, _, width, _ in boxes) == pytest.approx(6.0)
    assert max(y + height for _, y, _, height in boxes) == pytest.approx(4.0)


def test_a_treemap_has_all_bytes_of_all_branches(tmp_path: Path) -> None:
    names = [f"C{i}_{j}" for i in range(30) for j in range(20 if i == 3 else 1)]
    path = write_file(tmp_path / "a.root", range(50), extra=names)
    branches = aggregate_statistics(inspect_files(path)).branches()
    tiles = treemap(branches, aspect=2.0)
    assert sum(tile.size_bytes for tile in tiles) == sum(one.compressed_bytes for one in branches)
    assert np.sum([tile.box[2] * tile.box[3] for tile in tiles]) == pytest.approx(2.0)
    assert any(tile.collection.endswith("others") for tile in tiles)

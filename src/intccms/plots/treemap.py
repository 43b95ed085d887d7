"""Rectangles whose areas are sizes, packed into a unit square; for whoever draws them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SHOWN_BRANCHES = 12  # of a collection; the others share one tile
SHOWN_COLLECTIONS = 24

Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True, slots=True)
class Tile:
    """One rectangle: a branch, or what is left of its collection."""

    collection: str
    name: str
    size_bytes: int
    box: Box
    outer: Box  # of its collection
    index: int  # of its collection, the largest is 0


def packed(sizes: list[float], box: Box = (0.0, 0.0, 1.0, 1.0)) -> list[Box]:
    """Fill a box with rectangles of these relative areas, as square as they can be.

    Parameters
    ----------
    sizes
        Positive, falling.
    box
        To be filled.

    References
    ----------
    M. Bruls, K. Huizing, J. van Wijk, "Squarified treemaps", 2000.

    Examples
    --------
    >>> packed([1.0, 1.0])
    [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 0.5)]
    """
    x, y, width, height = box
    total = sum(sizes)
    boxes: list[Box] = []
    start = 0
    while start < len(sizes):
        side = min(width, height)
        scale = width * height / total if total else 0.0
        stop = start + 1
        while stop < len(sizes) and _worst(sizes[start : stop + 1], scale, side) <= _worst(
            sizes[start:stop], scale, side
        ):
            stop += 1
        row = sizes[start:stop]
        thick = sum(row) * scale / side if side else 0.0
        along = 0.0
        for size in row:
            length = size * scale / thick if thick else 0.0
            upright = (x, y + along, thick, length)
            boxes.append(upright if width >= height else (x + along, y, length, thick))
            along += length
        if width >= height:
            x, width = x + thick, max(width - thick, 0.0)
        else:
            y, height = y + thick, max(height - thick, 0.0)
        total -= sum(row)
        start = stop
    return boxes


def _worst(row: list[float], scale: float, side: float) -> float:
    """Give the largest aspect ratio in a row along the shorter side."""
    area = sum(row) * scale
    if not area or not side:
        return 1.0
    large, small = max(row) * scale, min(row) * scale
    return max(side**2 * large / area**2, area**2 / (side**2 * small))


def treemap(branches: Iterable[Any], aspect: float = 1.0) -> tuple[Tile, ...]:
    """Pack branches by collection into a box of width `aspect` and height 1.

    Parameters
    ----------
    branches
        Of a dataset, or of all.
    aspect
        Width over height.
    """
    groups: dict[str, dict[str, int]] = {}
    for branch in branches:
        if branch.compressed_bytes > 0:
            groups.setdefault(branch.collection, {})[branch.name] = branch.compressed_bytes
    ordered = sorted(groups, key=lambda name: -sum(groups[name].values()))
    shown = {name: groups[name] for name in ordered[:SHOWN_COLLECTIONS]}
    rest = {name: sum(groups[name].values()) for name in ordered[SHOWN_COLLECTIONS:]}
    if rest:
        shown[f"{len(rest)} others"] = rest
    ordered = sorted(shown, key=lambda name: -sum(shown[name].values()))
    outer = packed([float(sum(shown[name].values())) for name in ordered], (0, 0, aspect, 1))
    tiles: list[Tile] = []
    for index, (name, box) in enumerate(zip(ordered, outer, strict=True)):
        sizes = _largest(shown[name])
        inner = packed([float(size) for size in sizes.values()], box)
        tiles += [
            Tile(name, branch, size, one, box, index)
            for (branch, size), one in zip(sizes.items(), inner, strict=True)
        ]
    return tuple(tiles)


def _largest(sizes: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    shown, rest = ordered[:SHOWN_BRANCHES], ordered[SHOWN_BRANCHES:]
    if rest:
        shown.append((f"{len(rest)} more", sum(size for _, size in rest)))
    return dict(sorted(shown, key=lambda item: -item[1]))

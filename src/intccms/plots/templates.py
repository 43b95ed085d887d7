"""What is in a workspace and what was done to it: one cell a systematic and sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from intccms.plots.style import PALETTE, Look, cms_label, cms_style, new_figure
from intccms.statistics import Workspace

__all__ = ["treated"]

# Index of a colour: 1 norm + 2 shape; 0 where there is nothing, 4 where all was pruned.
KINDS = ("not evaluated", "norm", "shape", "norm and shape", "pruned")
COLORS = ("white", PALETTE[1], PALETTE[0], "#c5dbef", PALETTE[3])
PARTS = {"normsys": 1, "histosys": 2}
LETTERS = {"smoothed": "s", "symmetrised": "m"}
CELL_INCHES = 0.36


def treated(
    workspaces: Sequence[Workspace],
    region: str,
    *,
    look: Look | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw which systematics a region has, and which were pruned, smoothed or mirrored.

    Parameters
    ----------
    workspaces
        Of all signals; their backgrounds are the same.
    region
        Fitted channel.
    look, ax
        Labels of the processes; axes of one's own.
    """
    look = look or Look()
    kinds, letters = _cells(workspaces, region)
    names = dict.fromkeys(sample for sample, _ in kinds)
    samples = sorted(look.ordered(names), key=look.is_signal)
    systematics = list(dict.fromkeys(name for _, name in kinds))
    table = np.asarray([[kinds.get((one, name), 0) for one in samples] for name in systematics])
    with cms_style(font_size=16):
        if ax is None:
            size = (5 + CELL_INCHES * len(samples), 3.5 + CELL_INCHES * len(systematics))
            ax = new_figure(figsize=(max(size[0], 9), size[1]), layout="constrained").add_subplot()
        ax.pcolormesh(
            table, cmap=ListedColormap(COLORS), vmin=-0.5, vmax=4.5, edgecolors="white", linewidth=1
        )
        for (sample, name), letter in letters.items():
            where = (samples.index(sample) + 0.5, systematics.index(name) + 0.5)
            ax.text(*where, letter, ha="center", va="center", fontsize=12, color="black")
        ax.invert_yaxis()
        labels = [look.label_of(sample) for sample in samples]
        ax.set_xticks(np.arange(len(samples)) + 0.5, labels, rotation=90, fontsize=13)
        ax.set_yticks(np.arange(len(systematics)) + 0.5, systematics, fontsize=13)
        ax.tick_params(which="both", length=0)
        handles = [
            Patch(color=color, label=kind)
            for color, kind in zip(COLORS[1:], KINDS[1:], strict=True)
        ]
        handles += [Patch(alpha=0, label=f"{letter}: {word}") for word, letter in LETTERS.items()]
        ax.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title=region, fontsize=14
        )
        cms_label(ax, look, with_data=False, fontsize=16)
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure, ax


def _cells(
    workspaces: Sequence[Workspace], region: str
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], str]]:
    """Index of the colour, and letters, by sample and systematic."""
    kinds: dict[tuple[str, str], int] = {}
    letters: dict[tuple[str, str], str] = {}
    for workspace in workspaces:
        channel = next(one for one in workspace.spec["channels"] if one["name"] == region)
        for sample in channel["samples"]:
            for one in sample["modifiers"]:
                if one["type"] in PARTS:
                    key = (sample["name"], one["name"])
                    kinds[key] = kinds.get(key, 0) | PARTS[one["type"]]
        for change in workspace.changes:
            key = (change.sample, change.systematic)
            if change.region == region and change.action == "pruned":
                kinds.setdefault(key, 4)
            elif change.region == region and change.action in LETTERS:
                letter = LETTERS[change.action]
                letters[key] = letters.get(key, "").replace(letter, "") + letter
    return kinds, letters

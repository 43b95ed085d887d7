"""The figure of systematics says what the workspace has."""

from __future__ import annotations

from matplotlib.colors import to_hex

from intccms.plots.statistics import COLORS, treated
from intccms.statistics import Change, Workspace


def modifiers(*kinds: tuple[str, str]) -> list[dict[str, object]]:
    return [{"name": name, "type": kind, "data": None} for name, kind in kinds]


def test_cells_are_colored_by_what_is_left_and_marked_by_what_was_done() -> None:
    ttbar = modifiers(("jes", "normsys"), ("jes", "histosys"), ("lumi", "normsys"))
    wjets = modifiers(("jes", "histosys"), ("staterror_sr", "staterror"))
    samples = [{"name": "ttbar", "modifiers": ttbar}, {"name": "wjets", "modifiers": wjets}]
    changes = (
        Change("pruned", "sr", "wjets", "lumi", "", "norm", 1e-4, "relative"),
        Change("pruned", "sr", "wjets", "jes", "", "norm", 1e-4, "relative"),
        Change("smoothed", "sr", "wjets", "jes", "Up", "353QH, twice", 0.1, "relative"),
        Change("smoothed", "sr", "wjets", "jes", "Down", "353QH, twice", 0.1, "relative"),
        Change("pruned", "cr", "ttbar", "jes", "", "norm", 1e-4, "relative"),
    )
    workspace = Workspace("signal", {"channels": [{"name": "sr", "samples": samples}]}, (), changes)
    figure, ax = treated([workspace], "sr")
    columns = [text.get_text() for text in ax.get_xticklabels()]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    (mesh,) = ax.collections
    kinds = dict(
        zip(
            [(row, column) for row in rows for column in columns],
            mesh.get_array().ravel().tolist(),
            strict=True,
        )
    )
    norm, shape, both, pruned = 1, 2, 3, 4
    assert kinds == {
        ("jes", "ttbar"): both,
        ("jes", "wjets"): shape,
        ("lumi", "ttbar"): norm,
        ("lumi", "wjets"): pruned,
    }
    marks = {text.get_text(): text.get_position() for text in ax.texts if text.get_text() == "s"}
    assert marks == {"s": (columns.index("wjets") + 0.5, rows.index("jes") + 0.5)}
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "sr"
    colors = [to_hex(patch.get_facecolor()) for patch in legend.get_patches()[:4]]
    assert colors == [to_hex(color) for color in COLORS[1:]]
    assert figure.axes == [ax]

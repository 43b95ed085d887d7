"""Theory weights from branches to templates, against numpy; through chunks, resumes and skims."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.analysis.runner import AnalysisResult, run
from intccms.errors import ConfigError, FunctionError, InputError, IntccmsError
from intccms.schema import load_config
from tests.engine import small
from tests.engine.small import channel, function, observable

N = 600
EDGES = [0.0, 40.0, 80.0, 120.0]
CUT = 60.0
TITLES = {
    "LHEPdfWeight": "LHE pdf variation weights (w_var / w_nominal) for LHA IDs 91400 - 91432",
    "PSWeight": "PS weights (w_var / w_nominal);   [0] is ISR=2 FSR=1; [1] is ISR=1 FSR=2",
}
REPLICAS = {"LHEPdfWeight": "LHE pdf weights for LHA IDs 260000 - 260100"}


def table(rng: np.random.Generator, met: np.ndarray, n: int, slope: float) -> np.ndarray:
    """Weights with a rate of their own, and a slope in the missing momentum."""
    directions = rng.normal(0, slope, n)
    made = rng.uniform(0.8, 1.3, n) * (1 + directions * (met[:, np.newaxis] - 60) / 60)
    return made.astype("f4")


def events(n: int = N, seed: int = 1, n_pdf: int = 33, n_scale: int = 9) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    met = rng.exponential(60, n).astype("f4")
    return {
        "run": np.ones(n, "u4"),
        "luminosityBlock": np.ones(n, "u4"),
        "event": np.arange(n, dtype="u8"),
        "genWeight": (rng.choice([-1, 1, 1, 1], n) * rng.uniform(90, 110, n)).astype("f4"),
        "PuppiMET_pt": met,
        "PuppiMET_phi": np.zeros(n, "f4"),
        "LHEPdfWeight": table(rng, met, n_pdf, 0.02),
        "LHEScaleWeight": table(rng, met, n_scale, 0.1),
        "PSWeight": table(rng, met, 4, 0.05),
    }


def write(path: Path, columns: dict[str, Any], titles: dict[str, str] = TITLES) -> dict[str, Any]:
    """Write a file whose weight branches have the titles of NanoAOD."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: ak.from_regular(ak.Array(values), axis=None) for name, values in columns.items()
    }
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(array).content for name, array in arrays.items()})
        tree = file["Events"]._cascading  # uproot has no public word for a branch's title
        for branch in tree._branch_data:
            if branch.get("fName") in titles:
                branch["fTitle"] = titles[branch["fName"]]
        tree.write_anew(file.file.sink)
        file["Events"].extend(arrays)
    return columns


def weight(name: str, branch: str, **source: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "event",
        "use_correctionlib": False,
        "args": [("event", branch)],
        "uncertainty_sources": [{"name": name, "normalise": True, **source}],
    }


def first(weights: ak.Array) -> ak.Array:
    return weights[:, 0]


def last(weights: ak.Array) -> ak.Array:
    return weights[:, -1]


ALL = [
    weight("scale", "LHEScaleWeight", members="scale"),
    weight("pdf", "LHEPdfWeight", members="pdf"),
    weight("isr", "PSWeight", members="isr"),
    weight("fsr", "PSWeight", members="fsr"),
    weight("own", "PSWeight", up_function=first, down_function=last),
]


def passes(met: ak.Array) -> ak.Array:
    return met > 20


def config(base: Path, corrections: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    skimming = {"chunk_size": 1000, **function(passes, ("PuppiMET", "pt"))}
    general = {
        "lumi": 1.0,
        "base_dir": str(base),
        "output_dir": str(base / "out"),
        "executor": "iterative",
        **parts.pop("general", {}),
    }
    met = observable("met", lambda pt: pt, ("PuppiMET", "pt"), edges=EDGES)
    selected = function(lambda pt: pt > CUT, ("PuppiMET", "pt"))
    return small.config(
        general=general,
        preprocess={"skimming": {**skimming, **parts.pop("skimming", {})}},
        channels=[channel("all", [met], selected)],
        corrections=corrections,
        **parts,
    )


def analysed(
    base: Path, corrections: list[dict[str, Any]] = ALL, *overrides: str, **parts: Any
) -> AnalysisResult:
    return run(load_config(config(base, corrections, **parts), list(overrides)))


def bins(result: AnalysisResult, label: str, process: str = "mc") -> np.ndarray:
    return np.asarray(
        result.histograms.slice("all", "met", process, label).values(flow=True), dtype="f8"
    )


def filled(columns: dict[str, Any], relative: Any = 1.0, *, is_normalised: bool = True) -> Any:
    """Fill one variation the plain way, for cross section times luminosity of 1."""
    gen, met = np.asarray(columns["genWeight"], "f8"), columns["PuppiMET_pt"]
    varied = gen * np.asarray(relative, "f8")
    kept = met > CUT
    made = small.filled(met[kept], varied[kept], EDGES)
    return made / (varied.sum() if is_normalised else gen.sum())


def envelope(columns: dict[str, Any], points: tuple[int, ...]) -> tuple[Any, Any]:
    scales = np.asarray(columns["LHEScaleWeight"])
    several = [filled(columns), *(filled(columns, scales[:, i]) for i in points)]
    return np.max(several, axis=0), np.min(several, axis=0)


def hessian(columns: dict[str, Any]) -> Any:
    made = [filled(columns, one) for one in np.asarray(columns["LHEPdfWeight"]).T]
    squared = sum((one - made[0]) ** 2 for one in made[1:31])
    return np.sqrt(squared + ((made[32] - made[31]) / 2) ** 2)


def test_templates_are_combined_bin_by_bin_and_change_no_rate(tmp_path: Path) -> None:
    columns = write(tmp_path / "mc/0.root", events())
    result = analysed(tmp_path)
    nominal, pdf = filled(columns), hessian(columns)
    up, down = envelope(columns, (0, 1, 3, 5, 7, 8))
    shower = columns["PSWeight"]
    expected = {
        "nominal": nominal,
        "scale_up": up,
        "scale_down": down,
        "pdf_up": nominal + pdf,
        "pdf_down": nominal - pdf,
        "isr_up": filled(columns, shower[:, 0]),
        "isr_down": filled(columns, shower[:, 2]),
        "fsr_up": filled(columns, shower[:, 1]),
        "fsr_down": filled(columns, shower[:, 3]),
        "own_up": filled(columns, shower[:, 0]),
        "own_down": filled(columns, shower[:, 3]),
    }
    assert set(result.histograms.variations("mc")) == set(expected)
    for label, values in expected.items():
        np.testing.assert_allclose(bins(result, label), values, rtol=1e-9, atol=1e-12)


def test_without_normalise_the_rate_is_in(tmp_path: Path) -> None:
    columns = write(tmp_path / "mc/0.root", events())
    shower = [
        weight("isr", "PSWeight", members="isr", normalise=False),
        weight("own", "PSWeight", up_function=first, down_function=last, normalise=False),
    ]
    result = analysed(tmp_path, shower)
    expected = filled(columns, columns["PSWeight"][:, 0], is_normalised=False)
    for label in ("isr_up", "own_up"):
        np.testing.assert_allclose(bins(result, label), expected, rtol=1e-9)


def test_an_entry_of_systematics_can_be_normalised(tmp_path: Path) -> None:
    columns = write(tmp_path / "mc/0.root", events())
    entry = {"name": "own", "type": "event", "use": [("event", "PSWeight")], "up_function": first}
    for key, is_normalised in ({"normalise": True}, True), ({}, False):
        result = analysed(tmp_path, [], systematics=[entry | key])
        expected = filled(columns, columns["PSWeight"][:, 0], is_normalised=is_normalised)
        np.testing.assert_allclose(bins(result, "own_up"), expected, rtol=1e-9)


def test_a_source_beside_a_nominal_factor_is_normalised_to_the_nominal_sum(tmp_path: Path) -> None:
    columns = write(tmp_path / "mc/0.root", events())
    both = weight("own", "PSWeight", up_function=first, down_function=last)
    result = analysed(tmp_path, [{**both, "nominal_function": lambda weights: weights[:, 1]}])
    gen, kept = columns["genWeight"].astype("f8"), columns["PuppiMET_pt"] > CUT
    nominal, varied = (gen * columns["PSWeight"][:, i] for i in (1, 0))
    shape = small.filled(columns["PuppiMET_pt"][kept], varied[kept], EDGES)
    expected = shape / gen.sum() * nominal.sum() / varied.sum()
    np.testing.assert_allclose(bins(result, "own_up"), expected, rtol=1e-9)


def test_replicas_are_told_by_the_title(tmp_path: Path) -> None:
    columns = write(tmp_path / "mc/0.root", events(n_pdf=101), REPLICAS)
    result = analysed(tmp_path)
    made = [filled(columns, one) for one in columns["LHEPdfWeight"].T]
    expected = filled(columns) + np.std(made[1:], axis=0, ddof=1)
    np.testing.assert_allclose(bins(result, "pdf_up"), expected, rtol=1e-9)


def test_members_are_added_over_datasets_before_they_are_combined(tmp_path: Path) -> None:
    one = write(tmp_path / "mc/0.root", events())
    other = write(tmp_path / "more/0.root", events(seed=2))
    entry = {"name": "mc", "directories": ["mc/", "more/"], "cross_sections": [1.0, 3.0]}
    result = analysed(tmp_path, datasets={"datasets": [entry]})

    def made(i: int) -> Any:
        return sum(
            filled(columns, columns["LHEPdfWeight"][:, i]) * xsec
            for columns, xsec in ((one, 1.0), (other, 3.0))
        )

    squared = sum((made(i) - made(0)) ** 2 for i in range(1, 31)) + ((made(32) - made(31)) / 2) ** 2
    expected = filled(one) + 3 * filled(other) + np.sqrt(squared)
    np.testing.assert_allclose(bins(result, "pdf_up"), expected, rtol=1e-9)


def test_files_of_other_layouts_are_combined_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "mc/0.root", events())
    other = write(tmp_path / "mc/1.root", events(seed=2, n_pdf=101), REPLICAS)
    result = analysed(tmp_path, [weight("pdf", "LHEPdfWeight", members="pdf", normalise=False)])
    total = one["genWeight"].sum(dtype="f8") + other["genWeight"].sum(dtype="f8")

    def made(columns: dict[str, Any], relative: Any = 1.0) -> Any:
        kept = columns["PuppiMET_pt"] > CUT
        weights = columns["genWeight"].astype("f8") * relative
        return small.filled(columns["PuppiMET_pt"][kept], weights[kept], EDGES) / total

    first_set = [made(one, members) for members in one["LHEPdfWeight"].T]
    second_set = [made(other, members) for members in other["LHEPdfWeight"].T]
    squared = sum((m - first_set[0]) ** 2 for m in first_set[1:31])
    hessian_part = np.sqrt(squared + ((first_set[32] - first_set[31]) / 2) ** 2)
    expected = made(one) + made(other) + hessian_part + np.std(second_set[1:], axis=0, ddof=1)
    np.testing.assert_allclose(bins(result, "pdf_up"), expected, rtol=1e-9)


def test_events_may_have_different_numbers_of_scales(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = events()
    counts = np.resize([9, 8, 0, 9], N)
    ragged = [row[np.arange(9) != 4] if n == 8 else row[:n]
              for row, n in zip(columns["LHEScaleWeight"], counts, strict=True)]  # fmt: skip
    write(tmp_path / "mc/0.root", columns | {"LHEScaleWeight": ak.Array(ragged)})
    result = analysed(tmp_path)
    has = counts > 0
    some = {name: values[has] for name, values in columns.items()}
    gen = columns["genWeight"].astype("f8")
    share = gen[has].sum() / gen.sum()
    up, down = envelope(some, (0, 1, 3, 5, 7, 8))
    rest = filled(columns) - filled(some) * share
    np.testing.assert_allclose(bins(result, "scale_up"), rest + up * share, rtol=1e-9)
    np.testing.assert_allclose(bins(result, "scale_down"), rest + down * share, rtol=1e-9)
    (said,) = [one.getMessage() for one in caplog.records if "a part of" in one.getMessage()]
    assert f"scale {share:.1%}" in said


@pytest.mark.parametrize("lacking", ["short", "empty", "absent"])
def test_a_sample_without_weights_has_no_such_variation_and_that_is_said_once(
    lacking: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = events()
    names = ("LHEPdfWeight", "LHEScaleWeight", "PSWeight")
    for name in names:
        if lacking == "absent":
            del columns[name]
        else:
            n = 1 if lacking == "short" else 0
            columns[name] = ak.Array(np.ones((N, 1), "f4"))[:, :n]
    for i in range(2):
        write(tmp_path / f"mc/{i}.root", columns)
    with caplog.at_level(logging.WARNING, "intccms"):
        result = analysed(tmp_path, ALL[:4], "preprocess.skimming.chunk_size=100")
    assert result.histograms.variations("mc") == ("nominal",)
    assert bins(result, "nominal") == pytest.approx(filled(columns))
    (said,) = [one.getMessage() for one in caplog.records if "no weights" in one.getMessage()]
    assert "'mc'" in said
    assert all(name in said for name in (*names, "scale", "pdf", "isr", "fsr"))


def same(one: AnalysisResult, other: AnalysisResult) -> None:
    assert one.histograms.varied == other.histograms.varied
    for key, histogram in one.histograms.histograms.items():
        theirs = other.histograms.histograms[key].view(flow=True)
        assert histogram.view(flow=True).tobytes() == theirs.tobytes()


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("two")
    write(base / "mc/0.root", events())
    write(base / "mc/1.root", events(450, seed=2))
    return base


@pytest.fixture(scope="module")
def whole(two_files: Path) -> AnalysisResult:
    return analysed(two_files, general={"output_dir": str(two_files / "whole")})


def test_no_chunking_changes_a_bit(two_files: Path, whole: AnalysisResult, tmp_path: Path) -> None:
    chunks = "preprocess.skimming.chunk_size=70"
    same(analysed(two_files, ALL, chunks, general={"output_dir": str(tmp_path)}), whole)


def test_a_resumed_run_and_kept_columns_give_the_same_bits(
    two_files: Path, whole: AnalysisResult, tmp_path: Path
) -> None:
    general = {"output_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")}
    again: list[AnalysisResult] = []
    for cuts in (CUT, CUT, 1.0):
        settings = config(two_files, ALL, general=general)
        if cuts != CUT:  # other results of the same columns
            settings["channels"][0]["observables"][0]["binning"] = EDGES[:-1]
        again.append(run(load_config(settings)))
    assert [{one.status for one in result.reports} for result in again] == [
        {"done"}, {"resumed"}, {"cached"},
    ]  # fmt: skip
    same(again[0], whole)
    same(again[1], whole)
    for label in whole.histograms.variations("mc"):
        expected = bins(whole, label)
        np.testing.assert_allclose(bins(again[2], label)[:3], expected[:3], rtol=1e-12)


@pytest.mark.parametrize("kind", ["parquet", "ttree", "rntuple"])
@pytest.mark.parametrize("stage", ["general.run_systematics=False", "general.run_analysis=False"])
def test_a_skim_has_titles_and_sums_with_it(
    kind: str, stage: str, two_files: Path, whole: AnalysisResult, tmp_path: Path
) -> None:
    fmt = f"preprocess.skimming.output.format={kind}"
    made = {"output_dir": str(tmp_path / "made"), "skimmed_dir": str(tmp_path / "skim")}
    chunks = "preprocess.skimming.chunk_size=250"
    analysed(two_files, ALL, fmt, chunks, "general.run_skimming=True", stage, general=made)
    read = {"output_dir": str(tmp_path / "read"), "skimmed_dir": str(tmp_path / "skim")}
    result = analysed(two_files, ALL, fmt, "general.use_skimmed_input=True", general=read)
    same(result, whole)


def test_halves_of_a_chunk_count_the_sums_once(
    two_files: Path, whole: AnalysisResult, tmp_path: Path
) -> None:
    def few(pt: ak.Array) -> ak.Array:
        if len(pt) > 100:
            raise MemoryError
        return pt

    skims = {"skimmed_dir": str(tmp_path / "skim")}
    analysed(
        two_files,
        ALL,
        "general.run_skimming=True",
        general={"output_dir": str(tmp_path / "made"), **skims},
    )
    for use in (False, True):
        general = {"output_dir": str(tmp_path / f"{use}"), "use_skimmed_input": use, **skims}
        settings = config(two_files, ALL, general=general)
        settings["channels"][0]["observables"][0]["function"] = few
        result = run(load_config(settings))
        assert all(one.tries > 1 for one in result.reports)
        same(result, whole)


def test_a_skim_without_the_sums_of_a_source_is_refused(two_files: Path, tmp_path: Path) -> None:
    skims = {"skimmed_dir": str(tmp_path / "skim")}
    made = {"output_dir": str(tmp_path / "made"), **skims}
    analysed(two_files, ALL[4:], "general.run_skimming=True", general=made)
    read = {"output_dir": str(tmp_path / "read"), **skims, "use_skimmed_input": True}
    same(
        analysed(two_files, ALL[4:], general=read),
        analysed(two_files, ALL[4:], general={"output_dir": str(tmp_path / "plain")}),
    )
    other = weight("own", "PSWeight", up_function=last, down_function=first)
    for corrections in (ALL[:1], [other]):
        with pytest.raises(InputError, match=r"sums of the weights of .* over all events"):
            analysed(two_files, corrections, general=read)
    free = [weight("pdf", "LHEPdfWeight", members="pdf", normalise=False)]
    same(
        analysed(two_files, free, general=read),
        analysed(two_files, free, general={"output_dir": str(tmp_path / "free")}),
    )


def test_a_skim_that_lacks_the_branch_is_refused(two_files: Path, tmp_path: Path) -> None:
    branches = {"event": ["run", "luminosityBlock", "event"], "PuppiMET": ["pt", "phi"]}
    source = [weight("scale", "LHEScaleWeight", members="scale", normalise=False)]
    general = {"output_dir": str(tmp_path / "out"), "skimmed_dir": str(tmp_path / "skim")}
    settings = config(two_files, source, general=general)
    settings["preprocess"]["branches"] = branches
    run(load_config(settings, ["general.run_skimming=True"]))
    with pytest.raises(InputError, match=r"LHEScaleWeight.*preprocess\.branches"):
        run(load_config(settings, ["general.use_skimmed_input=True"]))


def test_what_a_source_cannot_be_is_refused(tmp_path: Path) -> None:
    scale = {"members": "scale"}
    wrong: list[tuple[dict[str, Any], str]] = [
        (weight("x", "LHEScaleWeight", **scale, up_function=first), "members"),
        (weight("x", "LHEScaleWeight", **scale, lha_id=1), "lha_id"),
        ({**weight("x", "LHEScaleWeight", **scale), "op": "add"}, "members"),
        ({**weight("x", "LHEScaleWeight", **scale), "args": []}, "members"),
        ({**weight("x", "PSWeight", up_function=first), "type": "object",
          "target": ("PuppiMET", "pt")}, "normalise"),
        (weight("x", "PSWeight", members="shower"), "members"),
        ({**weight("x", "PSWeight", up_function=first), "normalise": True}, "normalise"),
    ]  # fmt: skip
    for correction, key in wrong:
        with pytest.raises(ConfigError, match=key):
            load_config(config(tmp_path, [correction]))


def test_weights_that_cannot_be_normalised_end_in_one_line(tmp_path: Path) -> None:
    columns = events()
    columns["PSWeight"][5, 0] = np.nan
    write(tmp_path / "mc/0.root", columns)
    with pytest.raises((FunctionError, IntccmsError), match="'isr'"):
        analysed(tmp_path, ALL[2:3])
    columns["PSWeight"][:, 0] = 0.0
    write(tmp_path / "mc/0.root", columns)
    with pytest.raises(IntccmsError, match=r"'mc'.*'isr'.*normalised"):
        analysed(tmp_path, ALL[2:3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_member_that_is_no_number_is_named(tmp_path: Path, bad: float) -> None:
    columns = events()
    columns["LHEPdfWeight"][5, 3] = bad
    write(tmp_path / "mc/0.root", columns)
    with pytest.raises(FunctionError, match="'pdf'.*not all finite"):
        analysed(tmp_path, ALL[1:2])


def test_a_member_that_sums_to_nothing_is_named(tmp_path: Path) -> None:
    columns = events()
    columns["LHEScaleWeight"][:, 1] = 0.0
    write(tmp_path / "mc/0.root", columns)
    with pytest.raises(IntccmsError, match=r"'mc'.*'scale'.*normalised"):
        analysed(tmp_path, ALL[:1])


def test_a_sample_whose_weights_are_all_negative_is_refused(tmp_path: Path) -> None:
    columns = events()
    columns["genWeight"] = -np.abs(columns["genWeight"])
    write(tmp_path / "mc/0.root", columns)
    with pytest.raises(IntccmsError, match="sum of genWeight is -.*must be positive"):
        analysed(tmp_path)

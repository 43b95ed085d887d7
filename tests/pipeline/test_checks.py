"""What is refused, before anything is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from intccms import pipeline
from intccms.errors import InputError
from intccms.pipeline import RunResult
from intccms.pipeline.checks import check_drawable
from tests.pipeline.runs import FEW, configured, processed


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("general.run_processor=False", "no histograms"),
        ("general.run_plots_only=True", "no histograms"),
        ("general.run_metadata_generation=False", "metadata"),
        ("general.use_skimmed_input=True", "no skim of dataset"),
        ("general.run_mva_training=True", "no classifier is configured"),
        ("general.facility=somewhere", "unknown facility"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    tiny_sample: Path, tmp_path: Path, setting: str, says: str
) -> None:
    config = configured(tiny_sample, tmp_path / "a" / "out", *FEW, setting)
    with pytest.raises(InputError, match=says):
        pipeline.run(config)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cabinetry_file_is_found_before_anything_is_read(
    tiny_sample: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "mine.yml"
    damaged.write_text("General: [1, 2")
    named = f"statistics.cabinetry_config={damaged}"
    config = configured(tiny_sample, tmp_path / "out", *FEW, named)
    with pytest.raises(InputError, match="mine.yml"):
        pipeline.run(config)
    assert list(tmp_path.iterdir()) == [damaged]
    pipeline.Stages(
        configured(tiny_sample, tmp_path / "out", named, "general.run_statistics=False")
    )


def test_a_directory_that_was_there_stays(tiny_sample: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    config = configured(tiny_sample, kept.parent, *FEW, "general.weight_branch=noSuchBranch")
    with pytest.raises(InputError, match="noSuchBranch"):
        pipeline.run(config)
    assert list(kept.parent.iterdir()) == [kept]


def test_a_damaged_summary_is_an_input_error(done: RunResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.output.directory, out)
    summary = json.loads((out / "run_summary.json").read_text())
    del summary["lost_chunks"]
    (out / "run_summary.json").write_text(json.dumps(summary))
    config = configured(Path("/nowhere"), out, "general.run_processor=False")
    with pytest.raises(InputError, match="not as it was written"):
        processed(config)
    (out / "run_summary.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        processed(config)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (r'plotting.process_labels={data: "$W+\\textrm{jets}$"}',
         r"plotting\.process_labels\.data: .*Expected .*text, found"),
        (r'plotting.process_labels={data: "$\\frac{1}$"}', r"plotting\.process_labels\.data: "),
        (r'plotting.channel_labels={CMS_WORKSHOP: "$\\no$"}',
         r"plotting\.channel_labels\.CMS_WORKSHOP: "),
        ("plotting.process_colors={data: blackish}", r"plotting\.process_colors\.data: 'blackish'"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_by_its_key(
    tiny_sample: Path, tmp_path: Path, setting: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        pipeline.Stages(configured(tiny_sample, tmp_path / "out", setting))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", ["$m_{t\\\\bar{t}}$ [GeV]", "5 $ a jet", "W + jets"])
def test_what_can_be_drawn_is_not_refused(tiny_sample: Path, tmp_path: Path, label: str) -> None:
    setting = f'plotting.process_labels={{data: "{label}"}}'
    pipeline.Stages(configured(tiny_sample, tmp_path / "out", setting))


def test_labels_of_observables_and_names_are_looked_at_too(
    tiny_sample: Path, tmp_path: Path
) -> None:
    config = configured(tiny_sample, tmp_path / "out")
    channel = config.channels[0]
    for key, place in (("label", "channels.{0}.observables.{1}.label"),
                       ("name", "channels.{0}.observables.{1}.name")):  # fmt: skip
        first = channel.observables[0].model_copy(update={key: r"$\nothing$"})
        changed = channel.model_copy(update={"observables": (first,)})
        with pytest.raises(InputError) as caught:
            check_drawable(config.model_copy(update={"channels": (changed,)}))
        assert str(caught.value).startswith(place.format(channel.name, first.name))

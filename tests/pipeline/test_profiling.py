from __future__ import annotations

from pathlib import Path

import pytest

from intccms.cli import main
from intccms.pipeline.records import REST, shares, stage_of

CHUNK = "run_chunk\0/x/intccms/execution/chunk.py\0" + "80"
READING = "read\0/x/intccms/reading/source.py\0" + "170"


def test_a_sample_counts_for_what_it_did_inside_of_other_stages() -> None:
    masks = "apply_masks\0/x/intccms/engine/calls.py\0" + "60"
    assert stage_of([CHUNK, masks]) == "mask"
    assert stage_of([CHUNK, masks, READING]) == "read"
    inflate = "decompress\0/y/uproot/compression.py\0" + "300"
    assert stage_of([CHUNK, masks, READING, inflate]) == "decompress"
    assert stage_of([CHUNK]) == "other work on chunks"
    assert stage_of(["MainThread\0<thread>\0" + "1"]) == REST


def test_shares_add_up_to_the_whole_time() -> None:
    seconds = shares([([CHUNK], 1.0), ([CHUNK, READING], 2.0), ([], 4.0)])
    assert (seconds["read"], seconds[REST]) == (2.0, 4.0)
    assert sum(seconds.values()) == 7.0


@pytest.mark.slow
def test_a_profile_of_a_run_lies_in_its_metrics_folder(
    tiny_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    settings = [
        f"general.base_dir={tiny_sample}",
        f"general.output_dir={out}",
        "general.executor=dask",  # it runs here all the same
        "general.metrics.measurement_name=look",
        "general.processes=[signal]",
        "general.run_systematics=False",
        "general.run_statistics=False",
    ]
    assert main(["run", "--profile", *settings]) == 0
    text = (out / "metrics" / "look" / "profile.txt").read_text()
    for stage in ("read", "count and check files", "figures"):
        assert f"\n{stage} " in text, text
    assert "<script" in (out / "metrics" / "look" / "profile.html").read_text()
    assert "all chunks ran in it" in capsys.readouterr().out

"""What an analysis will read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from intccms.execution.memory import SIZES, Load, choose
from intccms.metrics.inspector import Statistics, aggregate_statistics, forecast, inspect_files
from tests.metrics.inspector.small import write_file


@pytest.fixture
def statistics(tmp_path: Path) -> Statistics:
    """Two files of 600 and 400 events in clusters of as many, out of four that are listed."""
    files = [
        write_file(tmp_path / "a.root", range(600), n_noise=9),
        write_file(tmp_path / "b.root", range(1000, 1400), n_noise=9),
    ]
    return aggregate_statistics(inspect_files({"x": files}), n_listed={"x": 4})


def test_bytes_and_requests_are_those_of_the_columns_scaled_to_all_files(
    statistics: Statistics,
) -> None:
    columns = {"x": {"Noise_0", "Noise_1", "event", "Nothing_pt"}}
    found = forecast(statistics, columns)
    one = found.datasets["x"]
    read = [statistics.datasets["x"].branches[name] for name in ("Noise_0", "Noise_1", "event")]
    packed = sum(branch.compressed_bytes for branch in read)
    everything = sum(branch.compressed_bytes for branch in statistics.branches())
    assert one.branches == ("Noise_0", "Noise_1", "event")
    assert one.missing == ("Nothing_pt",)
    assert one.n_events == found.n_events == 2000
    assert one.n_bytes == found.n_bytes == 2 * packed
    assert one.bytes_per_event == pytest.approx(packed / 1000)
    assert one.fraction == pytest.approx(packed / everything)
    assert one.n_baskets == 2 * 6
    assert one.seconds is None


def test_chunks_are_those_that_a_run_would_choose(statistics: Statistics) -> None:
    one = forecast(statistics, {"x": {"Noise_0"}}, n_cores=5).datasets["x"]
    branch = statistics.datasets["x"].branches["Noise_0"]
    bytes_ = branch.uncompressed_bytes / 1000
    load = Load(bytes_, branch.bytes_per_event, 0, 0.0, 2e9, 2000, 5)
    assert one.chunk_size == choose(load).n_events
    assert one.memory_bytes == round(load.needed(600))  # no file has more
    assert one.n_chunks == 4


def test_little_memory_makes_small_chunks(statistics: Statistics) -> None:
    many = replace(statistics.datasets["x"], n_listed=400_000)  # of 1000 events each
    large = Statistics({"x": many}, ())
    sizes = [
        forecast(large, {"x": {"Noise_0"}}, memory_bytes=memory).chunk_size
        for memory in (5.8e8, 6e8, 4e9)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == SIZES[0]


def test_the_time_follows_from_the_measured_rate(statistics: Statistics) -> None:
    found = forecast(statistics, {"x": {"event"}}, n_cores=4, rate_hz_per_core=250.0)
    assert found.seconds == pytest.approx(2.0)
    assert found.summary()["datasets"]["x"]["seconds"] == pytest.approx(2.0)


def test_nothing_is_read_of_a_dataset_without_columns(statistics: Statistics) -> None:
    assert forecast(statistics, {}).n_bytes == 0

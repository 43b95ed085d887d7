"""What an analysis will read."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_chunks_fit_into_memory(statistics: Statistics) -> None:
    one = forecast(statistics, {"x": {"Noise_0"}}, memory_bytes=2400.0).datasets["x"]
    assert one.chunk_size == pytest.approx(100, rel=0.15)  # 8 bytes an event, three copies
    assert one.memory_bytes <= 2400
    assert one.n_chunks == 2 * (-(-600 // one.chunk_size) + -(-400 // one.chunk_size))


def test_every_core_gets_chunks(statistics: Statistics) -> None:
    found = forecast(statistics, {"x": {"Noise_0"}}, n_cores=5)
    assert found.chunk_size == 2000 // (4 * 5)


def test_a_large_chunk_holds_whole_clusters(statistics: Statistics) -> None:
    one = forecast(statistics, {"x": {"Noise_0"}}).datasets["x"]
    assert one.chunk_size == 500  # a quarter of all events; the median cluster has 500


def test_the_time_follows_from_the_measured_rate(statistics: Statistics) -> None:
    found = forecast(statistics, {"x": {"event"}}, n_cores=4, rate_hz_per_core=250.0)
    assert found.seconds == pytest.approx(2.0)
    assert found.summary()["datasets"]["x"]["seconds"] == pytest.approx(2.0)


def test_nothing_is_read_of_a_dataset_without_columns(statistics: Statistics) -> None:
    assert forecast(statistics, {}).n_bytes == 0

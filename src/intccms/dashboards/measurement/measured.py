"""A finished measurement as the dashboards show it: its state, and tables of its metrics."""

from __future__ import annotations

from intccms.dashboards.state import RunState
from intccms.dashboards.tables import Table
from intccms.metrics.definitions import METRICS, formatted
from intccms.metrics.measurement import Measurement

__all__ = ["coverage_table", "dataset_table", "failure_table", "metric_tables", "state_of"]

N_SHOWN = 20


def state_of(measurement: Measurement) -> RunState:
    """Return the state in which the run ended."""
    parts: dict[str, list[int]] = {}
    for receipt in measurement.receipts:
        parts.setdefault(receipt.dataset, []).append(receipt.n_planned)
    end = measurement.started + measurement.wall_s
    state = RunState(measurement.target_gbps)
    state.begin(parts, measurement.started)
    for receipt in measurement.receipts:
        state.take(receipt, end)
    if measurement.timeline is not None:
        timeline = measurement.timeline
        state.watch(timeline.samples, list(timeline.workers.values()))
        state.timeline.interval_s = timeline.interval_s
    state.end(end)
    return state


def metric_tables(measurement: Measurement) -> list[Table]:
    """Return a table a group of metrics."""
    values = measurement.metrics
    tables = []
    for group in dict.fromkeys(metric.group for metric in METRICS):
        rows = [
            [metric.label, formatted(metric, values[metric.name])]
            for metric in METRICS
            if metric.group == group and values[metric.name] is not None
        ]
        if rows:
            tables.append(Table(group, [["metric", "value"], *rows]))
    return tables


def dataset_table(measurement: Measurement) -> Table:
    """Say what each dataset has cost."""
    rows = [["dataset", "chunks", "events", "read [GB]", "in chunks [s]", "kHz per thread"]]
    for dataset in dict.fromkeys(receipt.dataset for receipt in measurement.receipts):
        done = [
            one for one in measurement.receipts if one.dataset == dataset and one.status.is_in_rates
        ]
        n_events, wall_s = sum(one.n_events for one in done), sum(one.wall_s for one in done)
        rate = f"{n_events / wall_s / 1e3:.3g}" if wall_s else "-"
        read = sum(one.bytes_read for one in done) / 1e9
        rows.append(
            [dataset, f"{len(done):,}", f"{n_events:,}", f"{read:.3g}", f"{wall_s:.3g}", rate]
        )
    return Table("By dataset; resumed and lost chunks are left out", rows)


def coverage_table(measurement: Measurement) -> Table | None:
    """Say which part of the trees was read; None if that is not known."""
    if not measurement.coverage:
        return None
    rows = [["dataset", "branches read", "of", "bytes read", "of the tree", "most bytes"]]
    for dataset, one in measurement.coverage.items():
        share = f"{100 * one.column_bytes / one.tree_bytes:.2g} %" if one.tree_bytes else "-"
        size = f"{one.column_bytes / 1e6:,.4g} MB"
        most = ", ".join(list(one.largest)[:3])
        rows.append([dataset, f"{one.n_columns:,}", f"{one.n_branches:,}", size, share, most])
    return Table("Branches and bytes of the trees", rows)


def failure_table(measurement: Measurement) -> Table | None:
    """List what failed; None if nothing did."""
    failed = [receipt for receipt in measurement.receipts if receipt.status.is_lost]
    if not failed:
        return None
    rows = [["dataset", "file", "entries", "host", "stage", "error"]]
    for one in failed[:N_SHOWN]:
        entries = f"{one.entry_start:,} to {one.entry_stop:,}"
        error = f"{one.error_type}: {' '.join(one.error.split())}"[:160]
        rows.append([one.dataset, one.file, entries, one.host, one.stage, error])
    more = f", the first {N_SHOWN}" if len(failed) > N_SHOWN else ""
    return Table(f"Chunks that failed: {len(failed):,}{more}", rows, is_text=True)

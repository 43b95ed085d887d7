"""What the analysis leaves on disk: histograms, receipts and the processed luminosity sections."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from intccms.analysis.runner import AnalysisResult
from intccms.execution.lumis import write_golden_json
from intccms.histograms import storage
from intccms.schema import Config
from intccms.utils.output import Output, write_text

__all__ = ["write_records"]


def write_records(config: Config, output: Output, analysis: AnalysisResult) -> None:
    """Write the results of an analysis.

    Parameters
    ----------
    config, output
        What is wanted, and where it goes.
    analysis
        The results. Without data, the processed sections of an earlier run are removed.
    """
    storage.save(analysis.histograms, output.histograms_dir)
    if analysis.lumis is None:
        output.processed_lumis_json.unlink(missing_ok=True)
    else:
        write_golden_json(output.processed_lumis_json, analysis.lumis.processed)
    metrics = config.general.metrics
    if metrics.enable and metrics.save_measurements:
        measurement = metrics.measurement_name or f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
        lines = [json.dumps(asdict(receipt)) for receipt in analysis.receipts]
        write_text(output.receipts_jsonl(measurement), "".join(f"{line}\n" for line in lines))

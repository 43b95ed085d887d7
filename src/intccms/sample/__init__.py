"""Synthetic NanoAOD for the demonstration, the tests and the benchmarks.

In the order of the work: `plan` (what a configuration expects), `events`, `files`, `writing`;
beside them `calibrations` (correction files), `lumi`, what both share (`pileup`, `response`), and
``sample.yaml`` with all that is only a table.
"""

from __future__ import annotations

from intccms.sample.files import FileFormat
from intccms.sample.writing import SampleSummary, write_sample

__all__ = ["FileFormat", "SampleSummary", "write_sample"]

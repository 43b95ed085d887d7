"""Synthetic NanoAOD for the demonstration, the tests and the benchmarks.

In the order of the work: `writing` (the files, and what a configuration expects), `generation`,
`detector`, `collisions` (data), `branches`; beside them `calibration` (correction files, pile-up),
`vectors`, and `settings` with ``sample.yaml``, which has all that is only a table.
"""

from nanosample.writing import FileFormat, SampleSummary, write_sample

__all__ = ["FileFormat", "SampleSummary", "write_sample"]

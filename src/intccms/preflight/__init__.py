"""The checks before anything expensive: each takes seconds, and none can hang.

Opens one file per dataset and redirector on a worker; leaves nothing behind.
"""

from __future__ import annotations

from intccms.preflight.checks import Finding, forecast, preflight, rows_of

__all__ = ["Finding", "forecast", "preflight", "rows_of"]

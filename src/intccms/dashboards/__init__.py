"""What a run looks like, while it happens and after it: progress and tables."""

from __future__ import annotations

from intccms.dashboards.progress import make_observer
from intccms.dashboards.tables import Table

__all__ = ["Table", "make_observer"]

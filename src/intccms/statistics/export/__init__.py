"""Results in the formats of others: CMS Combine datacards and HEPData."""

from __future__ import annotations

from intccms.statistics.export.datacards import Datacard, datacard, write_datacard

__all__ = ["Datacard", "datacard", "write_datacard"]

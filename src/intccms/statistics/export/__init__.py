"""Results as files, also in the formats of others: CMS Combine datacards and HEPData."""

from __future__ import annotations

from intccms.statistics.export.datacards import Datacard, datacard, write_datacard
from intccms.statistics.export.files import changes_of, write
from intccms.statistics.export.hepdata import Table, hepdata_tables, write_hepdata

__all__ = [
    "Datacard",
    "Table",
    "changes_of",
    "datacard",
    "hepdata_tables",
    "write",
    "write_datacard",
    "write_hepdata",
]

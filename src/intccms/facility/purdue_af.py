"""``purdue-af``: the Dask Gateway of the Purdue Analysis Facility.

The session's Dask configuration has its address. A new cluster needs the site's options
``pixi_project`` or ``conda_env``: an environment on storage that the workers see.
"""

from __future__ import annotations

from intccms.facility.gateways import gateway_client
from intccms.facility.kinds import Facility

__all__ = ["FACILITY"]

FACILITY = Facility(gateway_client, patience_s=600.0)

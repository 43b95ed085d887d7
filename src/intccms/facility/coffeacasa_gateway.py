"""``coffeacasa-gateway``: the Dask Gateway of coffea-casa.

Its addresses stand in the session's Dask configuration.
"""

from __future__ import annotations

from intccms.facility.coffeacasa_condor import TOKEN_FILES
from intccms.facility.gateways import gateway_client
from intccms.facility.kinds import Facility

__all__ = ["FACILITY"]

FACILITY = Facility(gateway_client, patience_s=600.0, token_files=TOKEN_FILES)

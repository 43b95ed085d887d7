"""How the calorimeter answers to jets: what the energy corrections undo, and `rawFactor` tells."""

from __future__ import annotations

import numpy as np

from intccms.sample.events.kinematics import Array

__all__ = ["L1_SLOPE", "L2_RESPONSE", "REGIONS", "raw_factor"]

REGIONS = "BEFH"  # of |eta|: barrel, endcap, forward, hadron forward
REGION_EDGES = (1.3, 2.5, 3.0)
L2_RESPONSE = (1.08, 1.07, 1.1, 1.12)  # factor of L2Relative in each region
L1_SLOPE = 0.03  # GeV that pile-up adds to a jet, per unit of rho times area


def raw_factor(pt: Array, eta: Array, area: Array, rho: Array) -> Array:
    """Give ``Jet_rawFactor``: applied to the raw jet, L1FastJet and L2Relative make `pt` again."""
    region = np.searchsorted(REGION_EDGES, np.abs(eta), side="right")
    raw_pt = pt / np.array(L2_RESPONSE)[region] + L1_SLOPE * rho * area
    return np.asarray(1 - raw_pt / pt)

from __future__ import annotations

import correctionlib
import numpy as np
import pytest

from intccms.sample.calibrations.corrections import correction_set
from intccms.sample.response import raw_factor


def test_corrections_of_the_raw_jet_give_the_jet_again() -> None:
    campaign = "Summer19UL18_V5_MC"
    names = [f"{campaign}_{level}_AK4PFchs" for level in ("L1FastJet", "L2Relative")]
    made = correction_set("2018/jet_jerc.json.gz", names).model_dump_json(exclude_unset=True)
    offset, response = (correctionlib.CorrectionSet.from_string(made)[name] for name in names)
    rng = np.random.default_rng(3)
    pt, eta = 15 + rng.exponential(80, 500), rng.uniform(-4.7, 4.7, 500)
    area, rho = rng.normal(0.5, 0.02, 500), rng.uniform(5, 40, 500)
    raw = pt * (1 - raw_factor(pt, eta, area, rho))
    without_pileup = raw * offset.evaluate(area, eta, raw, rho)
    again = without_pileup * response.evaluate(eta, without_pileup)
    assert again == pytest.approx(pt)
    assert np.abs(raw / pt - 1).max() > 0.05

"""Z' → tt̄ at all simulated masses, with widths of 1, 10 and 30 % of the mass."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MASSES_GEV", "SIGNALS", "Signal", "of_width"]

# Cross sections in pb by mass in GeV, the widths 10 and 30 % of it (B2G-22-006, AN2019_197).
XSECS_PB = {
    400: (2.448, 0.7349),
    500: (2.442, 0.6736),
    600: (1.736, 0.4839),
    700: (1.159, 0.329),
    800: (0.7745, 0.2239),
    900: (0.5253, 0.1542),
    1000: (0.3622, 0.1081),
    1200: (0.1821, 0.05606),
    1400: (0.09683, 0.03079),
    1600: (0.05402, 0.01783),
    1800: (0.03153, 0.01073),
    2000: (0.01895, 0.006689),
    2500: (0.005914, 0.002338),
    3000: (0.002112, 0.0009523),
    3500: (0.0008526, 0.0004395),
    4000: (0.0003889, 0.0002273),
    4500: (0.0001967, 0.0001277),
    5000: (0.0001082, 7.688e-05),
    6000: (4.159e-05, 3.302e-05),
    7000: (1.933e-05, 1.676e-05),
    8000: (1.051e-05, 9.521e-06),
    9000: (6.295e-06, 5.782e-06),
}
HEAVIEST_NARROW = 4500  # of 1 % width: no sample above, and none has a published cross section


@dataclass(frozen=True, slots=True)
class Signal:
    """One simulated resonance."""

    mass_gev: int
    width_percent: int  # of the mass
    xsec_pb: float

    @property
    def width_gev(self) -> int:
        """Width in GeV."""
        return self.mass_gev * self.width_percent // 100

    @property
    def process(self) -> str:
        """Name of the process."""
        return f"zprime_m{self.mass_gev}_w{self.width_gev}"

    @property
    def sample(self) -> str:
        """First part of the name in DAS, where 1 % width is spelled in another way."""
        prefix = "ZprimeToTT" if self.width_percent == 1 else "ZPrimeToTT"
        return f"{prefix}_M{self.mass_gev}_W{self.width_gev}"


# 1 pb, so that the signal strength is a cross section in pb.
_NARROW = (Signal(mass, 1, 1.0) for mass in XSECS_PB if mass <= HEAVIEST_NARROW)
_MEDIUM = (Signal(mass, 10, xsec_pb) for mass, (xsec_pb, _) in XSECS_PB.items())
_WIDE = (Signal(mass, 30, xsec_pb) for mass, (_, xsec_pb) in XSECS_PB.items())
SIGNALS = (*_NARROW, *_MEDIUM, *_WIDE)

MASSES_GEV = {signal.process: float(signal.mass_gev) for signal in SIGNALS}


def of_width(percent: int) -> list[str]:
    """Names of the processes with one width: one mass scan."""
    return [signal.process for signal in SIGNALS if signal.width_percent == percent]

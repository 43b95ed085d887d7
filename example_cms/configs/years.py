"""What differs between the years of Run 2: luminosity, names of calibrations, eras of data.

Nothing else in this package branches on a year. 2016 is its second part only (postVFP): eras G and
H with the simulation without HIPM. The first part would need the APV simulation and its own year.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import NAME

__all__ = ["YEARS", "Era", "Year"]

CORRECTIONS = f"{NAME}/corrections"


@dataclass(frozen=True, slots=True)
class Era:
    """A data-taking period with its own jet energy corrections.

    The runs of a period end where the next one begins; the first begins with the golden JSON.
    """

    name: str
    first_run: int
    jec: str  # campaign of the corrections of data


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """Inputs of one year."""

    name: str
    pog: str  # folder of the year in the repository of the physics object groups
    lumi_ipb: float
    lumi_uncertainties: dict[str, float]  # relative, by nuisance parameter
    golden_json: str
    eras: tuple[Era, ...]  # of the corrections; of data listings see `datasets`
    data_directories: tuple[str, ...]
    pileup: str
    jec: str
    jer: str
    muon_trigger: str
    has_dead_sectors: bool = False  # of the endcap calorimeter, in a part of the year

    def file(self, name: str) -> str:
        """Path of one of the year's correction files."""
        return f"{CORRECTIONS}/{self.name}/{name}"


# Sums over eras G and H, 2017 and 2018 with the golden JSONs and the normtag of the luminosity
# group. The uncertainties: arXiv:2104.01927 (2016), CMS-PAS-LUM-17-004, CMS-PAS-LUM-18-002, split
# as the group recommends for Run 2: 1.2, 2.3 and 2.5 % in total.
YEARS = (
    Year(
        name="2016",
        pog="2016postVFP_UL",
        lumi_ipb=16393.0,
        lumi_uncertainties={"lumi_2016": 0.010, "lumi_run2": 0.006},
        golden_json=f"{CORRECTIONS}/Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt",
        eras=(Era("FGH", 278769, "Summer19UL16_RunFGH_V7_DATA"),),
        data_directories=("SingleMuonRunG", "SingleMuonRunH"),
        pileup="Collisions16_UltraLegacy_goldenJSON",
        jec="Summer19UL16_V7_MC",
        jer="Summer20UL16_JRV3_MC",
        muon_trigger="NUM_Mu50_or_TkMu50_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose",
    ),
    Year(
        name="2017",
        pog="2017_UL",
        lumi_ipb=41480.0,
        lumi_uncertainties={"lumi_2017": 0.020, "lumi_run2": 0.009, "lumi_2017_2018": 0.006},
        golden_json=f"{CORRECTIONS}/Cert_294927-306462_13TeV_UL2017_Collisions17_GoldenJSON.txt",
        eras=(
            Era("B", 294927, "Summer19UL17_RunB_V5_DATA"),
            Era("C", 299337, "Summer19UL17_RunC_V5_DATA"),
            Era("D", 302030, "Summer19UL17_RunD_V5_DATA"),
            Era("E", 303435, "Summer19UL17_RunE_V5_DATA"),
            Era("F", 304911, "Summer19UL17_RunF_V5_DATA"),
        ),
        data_directories=tuple(f"SingleMuonRun{era}" for era in "BCDEF"),
        pileup="Collisions17_UltraLegacy_goldenJSON",
        jec="Summer19UL17_V5_MC",
        jer="Summer19UL17_JRV2_MC",
        muon_trigger="NUM_Mu50_or_OldMu100_or_TkMu100_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose",
    ),
    Year(
        name="2018",
        pog="2018_UL",
        lumi_ipb=59830.0,
        lumi_uncertainties={"lumi_2018": 0.015, "lumi_run2": 0.020, "lumi_2017_2018": 0.002},
        golden_json=f"{CORRECTIONS}/Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt",
        eras=(
            Era("A", 314472, "Summer19UL18_RunA_V5_DATA"),
            Era("B", 316998, "Summer19UL18_RunB_V5_DATA"),
            Era("C", 319313, "Summer19UL18_RunC_V5_DATA"),
            Era("D", 320394, "Summer19UL18_RunD_V5_DATA"),
        ),
        data_directories=tuple(f"SingleMuonRun{era}" for era in "ABCD"),
        pileup="Collisions18_UltraLegacy_goldenJSON",
        jec="Summer19UL18_V5_MC",
        jer="Summer19UL18_JRV2_MC",
        muon_trigger="NUM_Mu50_or_OldMu100_or_TkMu100_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose",
        has_dead_sectors=True,
    ),
)

"""Kept events → smaller files that stand in for the originals: columns, writers, manifest."""

from intccms.skimming.columns import SkimColumns
from intccms.skimming.manifest import Gap, SkimManifest, SkimPart
from intccms.skimming.store import SkimStore, retire

__all__ = ["Gap", "SkimColumns", "SkimManifest", "SkimPart", "SkimStore", "retire"]

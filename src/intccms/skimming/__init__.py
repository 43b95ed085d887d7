"""Kept events → smaller files that stand in for the originals: columns, writers, manifest."""

from intccms.skimming.columns import SkimColumns
from intccms.skimming.manifest import SkimManifest
from intccms.skimming.parts import SkimPart
from intccms.skimming.store import SkimStore, retire

__all__ = ["SkimColumns", "SkimManifest", "SkimPart", "SkimStore", "retire"]

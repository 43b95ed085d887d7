"""Which files: from the directories that a configuration names to the names of the files."""

from __future__ import annotations

from intccms.datasets.fileset import DatasetFiles, DatasetManager, Fileset, file_format

__all__ = ["DatasetFiles", "DatasetManager", "Fileset", "file_format"]

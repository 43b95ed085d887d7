"""Where the parts and manifests of a skim are: written, checked, found again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from intccms.schema import SkimOutput, Skimming
from intccms.skimming.columns import SkimColumns
from intccms.skimming.manifest import SkimManifest
from intccms.skimming.options import check_options, resolved
from intccms.skimming.parts import SkimPart
from intccms.skimming.writers import SUFFIX, write_file
from intccms.utils.output import write_text

__all__ = ["SkimStore"]


class SkimStore:
    """The skims of a run, in a folder or at any fsspec URL; it can be sent to workers.

    Parameters
    ----------
    output
        Format, place and options.
    default_dir
        Where to, if `output` does not say.
    tree_name
        Tree of the files.
    verify
        What is checked of each file: ``count``, ``full`` or ``off``.
    """

    def __init__(
        self,
        output: SkimOutput,
        default_dir: str | Path,
        *,
        tree_name: str = "Events",
        verify: str = "count",
    ) -> None:
        self.output, self.tree_name, self.verify = output, tree_name, verify
        self.root = str(output.output_dir or default_dir).rstrip("/")

    @classmethod
    def of(cls, skimming: Skimming, default_dir: str | Path) -> SkimStore:
        """Make it as configured."""
        return cls(
            skimming.output, default_dir, tree_name=skimming.tree_name, verify=skimming.verify
        )

    def check(self) -> None:
        """Check format and options, without a look at the storage.

        Raises
        ------
        ConfigError
            If an option is not known.
        """
        check_options(self.output)

    def probe(self) -> None:
        """Write and remove a small file, on a worker: credentials may be there only.

        Raises
        ------
        InputError
            In one line, why nothing can be written there.
        """

    def reader_options(self) -> dict[str, Any]:
        """Resolve ``from_kwargs``; on a worker, where a part is read."""
        options: dict[str, Any] = resolved(self.output.from_kwargs)
        return options

    def url(self, path: str) -> str:
        """Say where a part can be opened, by its `path`."""
        return f"{self.root}/{path}"

    def write(self, events: Any, columns: SkimColumns, part: SkimPart) -> SkimPart:
        """Write the kept events of a chunk and return the complete record.

        Parameters
        ----------
        events
            NanoEvents that pass the skim selection.
        columns
            What to keep of them.
        part
            The chunk; without what only the writer knows.

        Raises
        ------
        MissingColumnError
            If the file lacks a branch to keep.
        OSError
            If it cannot be written; nothing is left then.
        """
        name = f"part_{part.chunk}" + (f"_{part.piece}" if part.piece else "")
        path = f"{part.dataset}/file_{part.file_index}/{name}.{SUFFIX[self.output.format]}"
        target = Path(self.root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not len(events):
            write_text(target.with_suffix(".empty"), str(part.to_json()))
            return part
        kept = columns.take(events, is_data=part.is_data, source=part.source)
        part = replace(
            part, n_out=len(events), path=path, rows=(0, len(events)), columns=tuple(kept)
        )
        aside = target.with_name(f".{target.name}.{uuid4().hex}.tmp")
        write_file(
            aside,
            self.output.format,
            [kept],
            tree=self.tree_name,
            record=[part.to_json()],
            options=resolved(self.output.to_kwargs),
        )
        data = aside.read_bytes()
        aside.replace(target)
        return replace(part, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def holds(self, part: SkimPart) -> bool:
        """Say whether the file of a part is there, with its size; an empty chunk has none."""
        target = Path(self.root) / part.path
        return not part.path or (target.is_file() and target.stat().st_size == part.size_bytes)

    def coalesce(self, parts: Sequence[SkimPart], target_events: int) -> tuple[SkimPart, ...]:
        """Put small parts of one source file together, up to `target_events` kept events a file.

        The records come back with their new `path` and `rows`; the old files stay until `save`.
        """
        return tuple(parts)

    def save(self, parts: Iterable[SkimPart]) -> SkimManifest:
        """Write ``<dataset>/manifest.json`` all at once, then remove files that it does not list.

        Parameters
        ----------
        parts
            Of one dataset, of chunks with and without kept events.
        """
        manifest = SkimManifest.of(parts, format=self.output.format, tree_name=self.tree_name)
        write_text(Path(self.root) / manifest.dataset / "manifest.json", manifest.to_json())
        return manifest

    def load(self, dataset: str) -> SkimManifest | None:
        """Read a manifest, or make it again from the parts; None: there is no skim."""
        path = Path(self.root) / dataset / "manifest.json"
        return SkimManifest.from_json(path.read_text()) if path.is_file() else None

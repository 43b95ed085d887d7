"""The floor: uproot alone reads and decompresses what the analysis needs, in one process."""

from __future__ import annotations

import uproot

from benchmarks.setup import BRANCHES

__all__ = ["read"]


def read(files: dict[str, list[str]], chunk_size: int) -> int:
    """Read the columns of all files, chunk by chunk; return the number of events."""
    n_events = 0
    for names in files.values():
        for name in names:
            with uproot.open({name: None}, handler=uproot.MemmapSource) as file:
                tree = file["Events"]
                branches = [tree[branch] for branch in BRANCHES]
                for start in range(0, tree.num_entries, chunk_size):
                    stop = min(start + chunk_size, tree.num_entries)
                    for branch in branches:
                        branch.array(entry_start=start, entry_stop=stop, array_cache=None)
                    n_events += stop - start
    return n_events

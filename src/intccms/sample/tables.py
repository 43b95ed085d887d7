"""All branches of one file in the order of NanoAOD: flat arrays and jagged collections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intccms.sample import collections, fillers, scalars
from intccms.sample.kinematics import Array
from intccms.sample.reconstruction import Reconstructed
from intccms.sample.slots import Jagged

__all__ = ["Table", "data_table", "padded", "simulation_table"]

SECTION_EVENTS = 500  # simulated events in a luminosity section


@dataclass(frozen=True, slots=True)
class Table:
    """The branches of ``Events``, and the sections for ``LuminosityBlocks``."""

    scalars: dict[str, Array]
    collections: dict[str, Jagged]  # a column "" is the branch that bears the collection's name
    sections: Array  # shape (n, 2) of run and section

    def __len__(self) -> int:
        """Count the events."""
        return len(self.scalars["event"])

    @property
    def n_branches(self) -> int:
        """Number of branches, counters included."""
        columns = sum(len(jagged.columns) for jagged in self.collections.values())
        return len(self.scalars) + len(self.collections) + columns


def simulation_table(
    events: Reconstructed, gen_weight: Array, first_event: int, rng: np.random.Generator
) -> Table:
    """Make a file of simulated events, numbered from `first_event`."""
    number = first_event + np.arange(len(events))
    section = 1 + number // SECTION_EVENTS
    return Table(
        {
            **_identity(np.ones(len(events)), section, number),
            **scalars.scalars(events, rng, is_data=False),
            **scalars.simulated(events, gen_weight, rng),
        },
        {
            **collections.collections(events, rng, is_data=False),
            **scalars.weight_vectors(events, rng),
        },
        np.stack([np.ones_like(known := np.unique(section)), known], axis=1),
    )


def data_table(
    events: Reconstructed,
    first_event: int,
    sections: tuple[Array, Array],
    rng: np.random.Generator,
) -> Table:
    """Make a file of collision data from (each event's section, all sections of the file)."""
    of_event, known = sections
    number = first_event + np.arange(len(events))
    return Table(
        {
            **_identity(of_event[:, 0], of_event[:, 1], number),
            **scalars.scalars(events, rng, is_data=True),
        },
        collections.collections(events, rng, is_data=True),
        known,
    )


def padded(table: Table, n_branches: int, rng: np.random.Generator) -> Table:
    """Add trigger bits and jet columns that mean nothing until there are `n_branches` branches."""
    missing = max(0, n_branches - table.n_branches)
    n_columns = missing // 2
    bits = {
        f"HLT_Padding{i:04d}": fillers.one_of(np.bool_, {0: 0.9, 1: 0.1})
        for i in range(missing - n_columns)
    }
    levels = {f"padding{i:04d}": fillers.uniform(0, 1) for i in range(n_columns)}
    jets = table.collections["Jet"]
    more = fillers.drawn(levels, jets.size, rng)
    return Table(
        table.scalars | fillers.drawn(bits, len(table), rng),
        table.collections | {"Jet": Jagged(jets.counts, jets.columns | more)},
        table.sections,
    )


def _identity(run: Array, section: Array, number: Array) -> dict[str, Array]:
    """Make the branches that name an event."""
    return {
        "run": run.astype(np.uint32),
        "luminosityBlock": section.astype(np.uint32),
        "event": number.astype(np.uint64),
    }

"""All branches of one file: flat arrays and jagged collections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from intccms.sample.events import collections, fillers, scalars
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Jagged

__all__ = ["Table", "padded", "table"]


@dataclass(frozen=True, slots=True)
class Table:
    """The branches of ``Events``, and the sections for ``LuminosityBlocks``."""

    scalars: dict[str, Array]
    collections: dict[str, Jagged]  # a column "" is the branch that bears the collection's name
    sections: Array  # run and section, shape (n, 2)

    def __len__(self) -> int:
        """Count the events."""
        return len(self.scalars["event"])

    def without(self, names: Collection[str]) -> Table:
        """Leave out some scalars and collections."""
        scalars = {name: values for name, values in self.scalars.items() if name not in names}
        kept = {name: values for name, values in self.collections.items() if name not in names}
        return Table(scalars, kept, self.sections)

    def only(self, branches: Mapping[str, Collection[str]]) -> Table:
        """Keep some fields of each collection, those of ``event`` being the other branches.

        A field can be a branch (``HLT_Mu50``), a column of a collection, or a whole vector.
        """
        top = branches.get("event", ())
        names = {f"{name}_{field}" for name, fields in branches.items() for field in fields}
        names.update(top)
        scalars = {name: values for name, values in self.scalars.items() if name in names}
        kept = {}
        for name, jagged in self.collections.items():
            wanted = ["", *branches.get(name, ())] if name in top else branches.get(name, ())
            columns = {key: jagged.columns[key] for key in wanted if key in jagged.columns}
            if columns:
                kept[name] = Jagged(jagged.counts, columns)
        return Table(scalars, kept, self.sections)


def table(
    events: Batch,
    identity: tuple[Array, Array],
    gen_weight: Array | None,
    sections: Array,
    rng: np.random.Generator,
) -> Table:
    """Make the branches of one file.

    Parameters
    ----------
    identity
        Each event's run and section, shape (n_events, 2), and its number.
    gen_weight
        Generator weights of simulation, None for data.
    sections
        All sections of the file, also those without an event.
    """
    place, number = identity
    flat: dict[str, Array] = {
        "run": place[:, 0].astype(np.uint32),
        "luminosityBlock": place[:, 1].astype(np.uint32),
        "event": number.astype(np.uint64),
    }
    flat |= scalars.scalars(events, rng, is_data=gen_weight is None)
    rho = flat["fixedGridRhoFastjetAll"]
    jagged = collections.collections(events, rho, rng, is_data=gen_weight is None)
    if gen_weight is not None:
        flat |= scalars.simulated(events, gen_weight, rng)
        jagged |= scalars.weight_vectors(events, rng)
    return Table(flat, jagged, sections)


def padded(made: Table, n_branches: int, rng: np.random.Generator) -> Table:
    """Add trigger bits and jet columns that mean nothing until there are `n_branches` branches."""
    n_columns = sum(1 + len(jagged.columns) for jagged in made.collections.values())
    missing = max(0, n_branches - n_columns - len(made.scalars))
    bit, level = fillers.levels("bool", {0: 0.9, 1: 0.1}), fillers.levels("uniform", 0, 1)
    bits = {f"HLT_Padding{i:04d}": bit for i in range(missing - missing // 2)}
    levels = {f"padding{i:04d}": level for i in range(missing // 2)}
    jets = made.collections["Jet"]
    more = Jagged(jets.counts, jets.columns | fillers.drawn(levels, int(jets.counts.sum()), rng))
    flat = made.scalars | fillers.drawn(bits, len(made), rng)
    return Table(flat, made.collections | {"Jet": more}, made.sections)

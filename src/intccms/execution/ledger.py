"""What was planned, processed and lost, per dataset: exact in files, chunks, events and sumw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from intccms.receipts import Receipt

__all__ = ["Amount", "DatasetLedger", "Ledger", "LostChunk", "RepeatedFile"]


@dataclass
class Amount:
    """Files, chunks, events and sum of weights.

    A number is None where it is not known: what is in a file that never opened.
    """

    files: int = 0
    chunks: int | None = 0
    events: int | None = 0
    sumw: float | None = 0.0


@dataclass(frozen=True)
class LostChunk:
    """Input that was planned and not processed; entries are None for a file that never opened."""

    dataset: str
    file: str
    entries: tuple[int, int] | None
    error: str


@dataclass(frozen=True)
class RepeatedFile:
    """Another name of a file, which was read once, as `same_as` of `same_dataset`."""

    dataset: str
    file: str
    same_dataset: str
    same_as: str


@dataclass
class DatasetLedger:
    """The books of one dataset; ``planned − processed`` is what was lost."""

    planned: Amount = field(default_factory=Amount)
    processed: Amount = field(default_factory=Amount)
    lost: Amount = field(default_factory=Amount)
    resumed: Amount = field(default_factory=Amount)
    files_of_unknown_size: int = 0
    sumw_source: str = "events"
    weights: dict[str, Any] | None = None  # see `WeightReport`; None: of data, or not known


@dataclass
class Ledger:
    """The books of a run.

    Parameters
    ----------
    datasets
        By dataset key.
    lost_chunks
        Each with its reason.
    repeated_files
        Names of files that were read under another name.
    retries
        Tries after the first, summed over the chunks that were not taken from an earlier run.
    """

    datasets: dict[str, DatasetLedger] = field(default_factory=dict)
    lost_chunks: list[LostChunk] = field(default_factory=list)
    repeated_files: list[RepeatedFile] = field(default_factory=list)
    retries: int = 0

    @classmethod
    def closed(
        cls,
        datasets: Iterable[str],
        receipts: Sequence[Receipt],
        never_opened: Sequence[LostChunk],
    ) -> Ledger:
        """Balance the books when every chunk has its receipt.

        Parameters
        ----------
        datasets
            Keys in the order of the configuration.
        receipts
            One for each planned chunk.
        never_opened
            Files of the listings that could not be counted.
        """
        ledger = cls({dataset: DatasetLedger() for dataset in datasets})
        lost_files: dict[str, set[str]] = {}
        done_files: dict[str, set[str]] = {}
        for receipt in receipts:
            book = ledger.datasets[receipt.dataset]
            if not receipt.status.is_resumed:  # its tries were made in an earlier run
                ledger.retries += receipt.tries - 1
            known = None if receipt.status.is_lost else receipt.sumw
            _book(book.planned, receipt.n_planned, known)
            if receipt.status.is_lost:
                _book(book.lost, receipt.n_planned, None)
                lost_files.setdefault(receipt.dataset, set()).add(receipt.file)
                entries = (receipt.entry_start, receipt.entry_stop)
                error = f"{receipt.error_type}: {receipt.error}"
                ledger.lost_chunks.append(LostChunk(receipt.dataset, receipt.file, entries, error))
                continue
            _book(book.processed, receipt.n_events, receipt.sumw)
            done_files.setdefault(receipt.dataset, set()).add(receipt.file)
            if receipt.status.is_resumed:
                _book(book.resumed, receipt.n_events, receipt.sumw)
        for dataset, book in ledger.datasets.items():
            lost = lost_files.get(dataset, set())
            done = done_files.get(dataset, set())
            book.planned.files = len(lost | done)
            book.lost.files, book.processed.files = len(lost), len(done - lost)
        ledger._add_unopened(never_opened)
        return ledger

    def add_empty(self, dataset: str) -> None:
        """Count a file without events, which makes no chunk."""
        book = self.datasets[dataset]
        book.planned.files += 1
        book.processed.files += 1

    def _add_unopened(self, never_opened: Sequence[LostChunk]) -> None:
        for lost in never_opened:
            book = self.datasets[lost.dataset]
            for amount in (book.planned, book.lost):
                amount.files += 1
                amount.chunks = amount.events = amount.sumw = None
            book.files_of_unknown_size += 1
        self.lost_chunks.extend(never_opened)

    @property
    def n_processed(self) -> int:
        """Events processed in all datasets."""
        return sum(book.processed.events or 0 for book in self.datasets.values())

    @property
    def is_complete(self) -> bool:
        """Whether nothing at all was lost."""
        return not self.lost_chunks

    def lost_fraction(self) -> float:
        """Return the largest part that any dataset lost: of events, of files where unknown."""
        return max((_fraction(book) for book in self.datasets.values()), default=0.0)

    def rows(self) -> list[list[str]]:
        """Return the table to show: one line a dataset, and the total."""
        header = ["dataset", "files", "chunks", "events planned", "processed", "lost"]
        lines = [
            [
                dataset,
                f"{book.processed.files}/{book.planned.files}",
                f"{book.processed.chunks}/{_shown(book.planned.chunks)}",
                _shown(book.planned.events),
                _shown(book.processed.events),
                _shown(book.lost.events) if book.lost.files else "0",
            ]
            for dataset, book in self.datasets.items()
        ]
        return [header, *lines]

    def to_dict(self) -> dict[str, Any]:
        """Return the part of ``run_summary.json`` that this is."""
        return {
            "datasets": {name: asdict(book) for name, book in self.datasets.items()},
            "lost_chunks": [asdict(lost) for lost in self.lost_chunks],
            "repeated_files": [asdict(one) for one in self.repeated_files],
            "retries": self.retries,
        }


def _book(amount: Amount, n_events: int, sumw: float | None) -> None:
    amount.chunks = (amount.chunks or 0) + 1
    amount.events = (amount.events or 0) + n_events
    amount.sumw = None if sumw is None or amount.sumw is None else amount.sumw + sumw


def _fraction(book: DatasetLedger) -> float:
    if not book.lost.files:
        return 0.0
    if book.planned.events:
        return (book.lost.events or 0) / book.planned.events
    return book.lost.files / max(book.planned.files, 1)


def _shown(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"

"""Files behind a real XRootD server: redirectors are tried in order, and failures are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from intccms.datasets import DatasetFiles, Fileset
from intccms.datasets.metadata import Metadata, collect

REFUSED = "root://127.0.0.1:1/"  # nothing listens there


class Serial:
    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any]
    ) -> Iterator[tuple[Any, Any]]:
        return ((item, function(item)) for item in items)


@pytest.fixture
def served(xrootd_server: Any, tmp_path: Path) -> str:
    """Redirector of a server that has ``/store/ttbar/<n>.root`` with 10 and 20 events."""
    folder = xrootd_server.directory / "store" / "ttbar"
    folder.mkdir(parents=True, exist_ok=True)
    for n_events in (10, 20):
        with uproot.recreate(folder / f"{n_events}.root") as file:
            file.mktree("Events", {"run": "uint32"}).extend({"run": np.ones(n_events, "uint32")})
    return str(xrootd_server.redirector)


def metadata_of(*lfns: str, redirectors: tuple[str, ...]) -> Metadata:
    files = DatasetFiles(
        dataset="ttbar",
        process="ttbar",
        year=None,
        is_data=False,
        xsec_pb=1.0,
        lfns=lfns,
        redirectors=redirectors,
    )
    return collect(Fileset((files,)), Serial(), chunk_size=1000)


def test_listed_names_are_read_through_the_redirector(served: str) -> None:
    found = metadata_of("/store/ttbar/10.root", "/store/ttbar/20.root", redirectors=(served,))
    assert [one.n_events for one in found.files] == [10, 20]
    assert found.files[0].lfn == "/store/ttbar/10.root"
    assert found.files[0].pfn == f"{served}/store/ttbar/10.root"
    assert found.failures == ()


def test_the_next_redirector_is_tried_where_one_refuses(served: str) -> None:
    found = metadata_of("/store/ttbar/10.root", redirectors=(REFUSED, served))
    assert [one.n_events for one in found.files] == [10]
    assert found.files[0].pfn.startswith(served)


def test_a_file_that_the_server_lacks_is_named(served: str) -> None:
    names = ("/store/ttbar/10.root", "/store/ttbar/absent.root")
    found = metadata_of(*names, redirectors=(served,))
    assert [one.lfn for one in found.failures] == ["/store/ttbar/absent.root"]
    assert "absent.root" in found.failures[0].error

from __future__ import annotations

from dataclasses import replace

import hist
import numpy as np
import pytest

from intccms.errors import InputError
from intccms.histograms import Book, HistogramSums, make_book


def values(book: Book, process: str, variation: str) -> list[float]:
    histogram = book.histograms["sr", "mtt"]
    return histogram[:, process, variation].values(flow=True).tolist()


def test_datasets_are_scaled_and_added_into_processes(book: Book) -> None:
    # ttbar: 0.5 * [4, 2, 1] + 10 * [1, 1, 1]
    assert values(book, "ttbar", "nominal") == [0.0, 12.0, 11.0, 10.5]
    variances = book.slice("sr", "mtt", "ttbar").variances(flow=True)
    assert variances is not None
    assert variances.tolist() == [0.0, 104.0, 101.0, 100.25]  # 0.25 * w**2 + 100 * w**2


def test_dataset_without_a_variation_contributes_its_nominal(book: Book) -> None:
    assert values(book, "ttbar", "pileup_up") == [0.0, 12.0, 11.5, 10.5]


def test_process_without_a_variation_holds_its_nominal(book: Book) -> None:
    assert values(book, "wjets", "pileup_up") == values(book, "wjets", "nominal")
    assert book.varied["wjets"] == ("jes_up", "jes_down")


def test_data_have_their_nominal_only(book: Book) -> None:
    assert values(book, "data", "nominal") == [0.0, 1.0, 1.0, 1.0]
    assert values(book, "data", "jes_up") == [0.0] * 4
    assert book.variations("data") == ("nominal",)
    assert book.slice("sr", "mtt", "data", "jes_up") == book.slice("sr", "mtt", "data")


def test_histogram_has_the_promised_axes(book: Book) -> None:
    histogram = book.histogram("sr", "mtt")
    assert [axis.name for axis in histogram.axes] == ["mtt", "process", "variation"]
    assert histogram.axes[0].label == "$m_{t\\bar{t}}$ [GeV]"
    assert isinstance(histogram.axes[0], hist.axis.Variable)
    assert histogram.storage_type is hist.storage.Weight
    assert list(histogram.axes["variation"])[0] == "nominal"


def test_book_says_what_it_holds(book: Book) -> None:
    assert book.channels == ("sr",)
    assert book.observables("sr") == ("mtt",)
    assert book.processes == ("ttbar", "wjets", "data")
    assert book.mc_processes == ("ttbar", "wjets")
    assert book.variations("ttbar") == (
        "nominal", "jes_up", "jes_down", "pileup_up", "pileup_down",
    )  # fmt: skip


def test_yields_include_the_flow_bins(book: Book) -> None:
    yields = book.yields("sr")
    assert yields["ttbar"] == (33.5, pytest.approx((104.0 + 101.0 + 100.25) ** 0.5))
    assert yields["wjets"] == (4.0, pytest.approx(8.0**0.5))
    assert yields["data"].value == 3.0


def test_names_that_are_not_there_give_the_nearest(book: Book) -> None:
    with pytest.raises(InputError, match="'ssr'.*did you mean 'sr'"):
        book.histogram("ssr", "mtt")
    with pytest.raises(InputError, match="'mt'.*did you mean 'mtt'"):
        book.histogram("sr", "mt")
    with pytest.raises(InputError, match="'tbar'.*did you mean 'ttbar'"):
        book.variations("tbar")


def test_histogram_that_a_dataset_lacks_is_empty() -> None:
    sums = {"ttbar": {("sr", "mtt"): HistogramSums.filled(["nominal"], [0, 1], [0.5], [1.0])}}
    observables = {("sr", "mtt"): ([0.0, 1.0], "m"), ("cr", "mtt"): ([0.0, 1.0, 2.0], "m")}
    book = make_book(sums, {"ttbar": 2.0}, {"ttbar": "ttbar"}, observables)
    assert book.slice("cr", "mtt", "ttbar").values().tolist() == [0.0, 0.0]
    assert book.yields("sr")["ttbar"].value == 2.0


def test_what_lies_outside_is_folded_in_where_it_is_wanted(book: Book) -> None:
    folded = replace(book, folded=frozenset({("sr", "mtt")}))
    one = folded.slice("sr", "mtt", "ttbar")
    assert one.values(flow=True).tolist() == [0.0, 12.0, 21.5, 0.0]
    assert one.variances(flow=True).tolist() == [0.0, 104.0, 201.25, 0.0]
    whole = folded.histogram("sr", "mtt")
    assert whole[:, "wjets", "jes_down"].values(flow=True).tolist() == [0.0, 2.5, 2.0, 0.0]
    assert folded.yields("sr") == book.yields("sr")
    assert folded.reach("sr", "mtt").tolist() == [-np.inf, 1.0, np.inf]
    assert book.slice("sr", "mtt", "ttbar").values().tolist() == [12.0, 11.0]
    assert book.reach("sr", "mtt").tolist() == [0.0, 1.0, 2.0]


def test_a_label_says_that_there_is_more_in_the_bins(book: Book) -> None:
    folded = replace(book, folded=frozenset({("sr", "mtt")}))
    assert folded.label("sr", "mtt") == "$m_{t\\bar{t}}$ [GeV] (with overflow)"
    assert book.label("sr", "mtt") == "$m_{t\\bar{t}}$ [GeV]"
    folded.histograms["sr", "mtt"].view(flow=True)["value"][-1] = 0.0
    assert folded.label("sr", "mtt") == "$m_{t\\bar{t}}$ [GeV]"


def test_the_book_knows_what_lies_outside(book: Book) -> None:
    assert book.outside("sr", "mtt") == {"ttbar": (0.0, 10.5 / 33.5), "wjets": (0.0, 0.0)}

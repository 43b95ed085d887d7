from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import Any

import numpy as np
import pytest

from intccms.execution.checkpoints import MAGIC, Damaged, decode, encode

KEY = "5a"


def round_trip(value: Any) -> Any:
    return decode(encode(value, key=KEY, codecs={}), key=KEY, codecs={})


def seal(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """A file with a right checksum, whatever its content."""
    text = json.dumps(header).encode()
    body = struct.pack("<Q", len(text)) + text + payload
    return MAGIC + hashlib.sha256(body).digest() + body


def test_every_bit_of_a_number_comes_back() -> None:
    numbers = [-0.0, 5e-324, -2.2e-308, 1e308, float("inf"), float("nan"), 0.1, 2**-1060]
    odd = np.frombuffer(struct.pack("<Q", 0x7FF8_0000_0000_1234), np.float64)
    arrays = {
        "f8": np.array(numbers),
        "nan": odd,
        "big": np.arange(3, dtype=">i4"),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "bool": np.array([True, False]),
        "text": np.array(["", "ü"]),
        "zero": np.zeros((0, 4)),
        "scalar": np.array(3.5),
    }
    back = round_trip({"numbers": numbers, "arrays": arrays, "none": None, "big": 10**40})
    assert struct.pack("<8d", *back["numbers"]) == struct.pack("<8d", *numbers)
    assert back["none"] is None
    assert back["big"] == 10**40
    for name, array in arrays.items():
        other = back["arrays"][name]
        assert other.shape == array.shape
        assert other.tolist() == array.tolist() or name in ("f8", "nan")
        assert other.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
        assert other.flags.writeable


def test_what_has_no_plain_form_is_refused() -> None:
    for value in ({1, 2}, object(), np.array([object()]), os.environ):
        with pytest.raises(TypeError, match="cannot be stored"):
            encode({"value": value}, key=KEY, codecs={})


@pytest.mark.parametrize(
    "header",
    [
        {"key": KEY, "tree": {"object": ["os.system", {"dict": [["command", "true"]]}]}},
        {"key": KEY, "tree": {"pickle": "gASVCAAAAAAAAACMBGV4aXSUkpQu"}},
        {"key": KEY, "tree": {"array": 0}, "arrays": [["|O", [1]]]},
        {"key": KEY, "tree": {"array": 0}, "arrays": [["<f8", [1 << 60]]]},
        {"key": KEY, "tree": {"array": 0}, "arrays": [["<f8", [-1]]]},
        {"key": KEY, "tree": {"dict": [[{"list": []}, 1]]}, "arrays": []},
        {"key": KEY, "arrays": []},
        ["no", "header"],
    ],
)
def test_a_strangers_file_does_nothing(header: Any) -> None:
    with pytest.raises(Damaged, match="decoded|holds|length"):
        decode(seal(header, b"\0" * 8), key=KEY, codecs={})


def test_a_file_that_is_nested_too_deep_is_damaged() -> None:
    text = '{"key": "k", "arrays": [], "tree": ' + '{"list": [' * 5000 + "]}" * 5000 + "}"
    body = struct.pack("<Q", len(text)) + text.encode()
    data = MAGIC + hashlib.sha256(body).digest() + body
    with pytest.raises(Damaged, match="RecursionError"):
        decode(data, key="k", codecs={})

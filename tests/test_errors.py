"""What any call may raise, taken as its answer."""

from __future__ import annotations

import pytest

from intccms.errors import attempted


def test_what_a_call_raises_is_its_answer() -> None:
    assert attempted(int, "12") == 12
    assert attempted(int, "f", base=16) == 15
    assert isinstance(attempted(int, "x"), ValueError)


def test_ctrl_c_is_no_answer() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempted(interrupted)

"""The tables of ``sample.yaml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

__all__ = ["settings"]


@cache
def settings() -> dict[str, Any]:
    """Read the file that tells what is not computed; it says itself what each part means."""
    text = files("intccms.sample").joinpath("sample.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table

"""The small inputs of the engine's tests serve here too."""

from __future__ import annotations

from tests.engine.conftest import few, inputs

__all__ = ["few", "inputs"]

"""The output manager, under its promised name; it stands in :mod:`intccms.storage`."""

from __future__ import annotations

from intccms.storage import Output

__all__ = ["Output"]

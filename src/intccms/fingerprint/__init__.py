"""What identifies a user's function, whatever file, line or process it comes from."""

from __future__ import annotations

from intccms.fingerprint.digest import Fingerprint, fingerprint, is_reproducible

__all__ = ["Fingerprint", "fingerprint", "is_reproducible"]

"""What identifies a user's function, whatever file, line or process it comes from."""

from __future__ import annotations

from intccms.fingerprint.digest import Fingerprint, fingerprint, is_reproducible
from intccms.fingerprint.files import content_digest

__all__ = ["Fingerprint", "content_digest", "fingerprint", "is_reproducible"]

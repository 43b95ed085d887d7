"""``python -m intccms``, the same as ``intccms``."""

from __future__ import annotations

import sys

from intccms.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""The whole chain without a notebook: ``python analysis.py [--config module:name] key=value …``."""

from __future__ import annotations

import sys

from intccms.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))

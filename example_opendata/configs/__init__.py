"""What the search selects, computes, corrects and draws; `configuration` puts it together."""

from pathlib import Path

# Of the package around this file: a copy under another name reads and writes below its own.
NAME = Path(__file__).resolve().parents[1].name

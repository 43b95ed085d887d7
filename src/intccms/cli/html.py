"""``intccms html``: an executed notebook as a page that can be sent to others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from intccms.errors import InputError

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "write executed notebooks as HTML that needs no network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: beside the notebook")


def execute(parsed: argparse.Namespace) -> None:
    """Write a page for each notebook."""
    from intccms.batch.page import write_page

    if parsed.out is not None and len(parsed.notebooks) > 1:
        raise InputError("--out takes one notebook; without it each page is beside its notebook")
    for notebook in parsed.notebooks:
        page = parsed.out or notebook.with_suffix(".html")
        write_page(notebook, page)
        sys.stdout.write(f"{page}\n")

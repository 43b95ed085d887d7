"""An executed notebook as one HTML file that needs no server, no kernel and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter

from intccms.errors import InputError
from intccms.storage import write_text

__all__ = ["write_page"]

# nbconvert's page without what it would fetch: RequireJS, MathJax, Mermaid. Scripts and
# widgets need those; what they drew is there as a picture.
_TEMPLATE = """\
{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block data_javascript scoped %}{% endblock %}
{% block data_widget_view scoped %}{% endblock %}
"""


def write_page(notebook: Path, page: Path) -> None:
    """Write what a saved notebook shows as a page.

    Parameters
    ----------
    notebook, page
        What is read and what is written.

    Raises
    ------
    InputError
        If there is no such notebook.
    """
    try:
        content = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise InputError(f"cannot read the notebook {notebook}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{notebook} is not a notebook: {error}") from None
    content.metadata.pop("widgets", None)
    make: Any = HTMLExporter
    exporter = make(raw_template=_TEMPLATE, embed_images=True)
    named = {"metadata": {"name": notebook.stem}}
    text, _ = exporter.from_notebook_node(content, named)
    write_text(page, text)

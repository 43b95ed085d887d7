"""How Sphinx makes the pages: `make docs`, from these texts and the docstrings."""

from __future__ import annotations

import intccms

project = "intccms"
author = copyright = "the intccms developers"  # noqa: A001 - Sphinx's name
version = release = intccms.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "intccms"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
napoleon_google_docstring = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# A name is described where it is defined, not again where a package offers it.
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "ignore-module-all": True,
    "undoc-members": False,
    "exclude-members": "set",  # matplotlib writes its docstring in its own roles
}
# Shapes in docstrings, `shape (n_events,)`, stand where types do and are taken for references.
suppress_warnings = ["ref.python"]
add_module_names = False
apidoc_modules = [
    {
        "path": "../src/intccms",
        "destination": "api",
        "separate_modules": True,
        "max_depth": 2,
    }
]
# Docstrings name things in single backticks as NumPy's do; most are no links.
default_role = "code"

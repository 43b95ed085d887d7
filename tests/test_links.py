"""Links of the pages lead somewhere: files and headings that are there, addresses that can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])
HEADINGS = 3  # levels that have an anchor, as docs/conf.py says
TOCTREE = "{toctree}"

READER = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=HEADINGS)


def tokens(page: Path) -> list[Token]:
    return READER.parse(page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    """Targets of links and images, and the pages of a table of contents."""
    for token in tokens(page):
        for inner in token.children or ():
            target = inner.attrGet("href") or inner.attrGet("src")
            if target is not None:
                yield str(target)
        if token.type == "fence" and token.info.startswith(TOCTREE):
            entries = (line.strip() for line in token.content.splitlines())
            yield from (f"{entry}.md" for entry in entries if entry and not entry.startswith(":"))


def anchors(page: Path) -> set[str]:
    return {str(token.attrGet("id")) for token in tokens(page) if token.attrGet("id")}


def why_broken(page: Path, link: str) -> str:
    """Say what is wrong with a link of a page; empty if nothing is."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        name = parts.hostname or ""
        is_good = parts.scheme in ("http", "https") and "." in name.strip(".")
        return "" if is_good and " " not in unquote(link) else "no address"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_relative_to(ROOT / "docs" / "api"):
        return ""  # made by `make docs`
    if not target.exists():
        return "no such file"
    if parts.fragment and parts.fragment not in anchors(target):
        return f"no heading #{parts.fragment}; there are {sorted(anchors(target))}"
    return ""


def broken(page: Path) -> list[tuple[str, str]]:
    found = [(link, why_broken(page, link)) for link in links(page)]
    return [(link, why) for link, why in found if why]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = {link for link in links(ROOT / "docs" / "index.md") if link.endswith(".md")}
    assert {page.name for page in PAGES if page.parent.name == "docs"} - listed == {"index.md"}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n## Parts of it\n"
        "[good](#parts-of-it) [self](page.md#a-page) [out](https://example.org/a#b)\n"
        "[file](absent.md) ![image](absent.png) [heading](#part-of-it) <http://localhost>\n"
        "[scheme](htps://example.org) | `[code](absent.md)`\n\n"
        "```{toctree}\n:maxdepth: 1\n\nabsent_too\n```\n"
    )
    assert [link for link, _ in broken(page)] == [
        "absent.md",
        "absent.png",
        "#part-of-it",
        "http://localhost",
        "htps://example.org",
        "absent_too.md",
    ]


def test_the_tests_that_the_docs_name_are_there() -> None:
    text = (ROOT / "docs" / "ways.md").read_text()
    named = re.findall(r"`(tests/[\w/.]+)`", text)
    assert len(named) > 20
    assert [one for one in named if not (ROOT / one).exists()] == []


def test_the_files_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+(?:\.py|\.md|/))`", text))
    places = (ROOT, ROOT / "src", ROOT / "src" / "intccms")
    files = {path.name for path in (ROOT / "src").rglob("*.py")}
    absent = {
        name
        for name in named
        if not any((place / name).exists() for place in places) and name not in files
    }
    assert len(named) > 20
    assert absent == set()

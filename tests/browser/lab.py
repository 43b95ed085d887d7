"""A JupyterLab that answers this machine only, and what a user does in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import papermill
from playwright.sync_api import TimeoutError

__all__ = [
    "PREFIX",
    "Cluster",
    "Lab",
    "damage",
    "executed",
    "foreign",
    "look",
    "plots",
    "start_lab",
    "stop",
]

ROOT = Path(__file__).resolve().parents[2]
START_S = 180
RUN_S, SAVE_S = 450, 60
QUIET_S = 2.5
PREFIX = "/user/physicist/"
CHROMIUM_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# The sources of all Bokeh documents in the page, by name: their columns.
SOURCES = """() => {
  const found = {};
  for (const document of window.Bokeh?.documents ?? [])
    for (const model of document._all_models.values())
      if (model.type === 'ColumnDataSource' && model.name) {
        const data = model.data instanceof Map ? Object.fromEntries(model.data) : model.data;
        found[model.name] = Object.fromEntries(
          Object.entries(data).map(([name, column]) => [name, Array.from(column)]));
      }
  return found;
}"""
# Whether the cells that hold a text were executed after some number, or one has failed.
EXECUTED = """([text, after]) => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')];
  const number = cell => Number(/\\[(\\d+)\\]/.exec(
    cell.querySelector('.jp-InputPrompt')?.textContent)?.[1] ?? 0);
  return document.querySelector("[data-mime-type='application/vnd.jupyter.error']") ||
    cells.filter(cell => cell.textContent.includes(text)).every(cell => number(cell) > after);
}"""
STARTED = ".jp-InputPrompt:has-text('*'), .jp-InputPrompt:has-text('1')"
IDLE = "() => document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"


class Cluster(NamedTuple):
    """A cluster that JupyterLab's Dask panel has started."""

    page: Any
    address: str


class Lab:
    """A running server.

    Parameters
    ----------
    url
        Of its root, without the last slash.
    folder
        That it serves.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def put(
        self,
        notebook: Path,
        parameters: Mapping[str, Any],
        cells: Mapping[str, Sequence[str]] | None = None,
    ) -> Path:
        """Put a notebook with parameters into the folder.

        `cells` are code cells to insert in front of the first that holds a text; "": at the end.
        """
        target = self.folder / notebook.name
        papermill.execute_notebook(notebook, target, parameters=parameters, prepare_only=True)
        content = nbformat.read(target, as_version=4)
        for text, sources in (cells or {}).items():
            found = [index for index, cell in enumerate(content.cells) if text in cell.source]
            place = found[0] if text else len(content.cells)
            content.cells[place:place] = map(nbformat.v4.new_code_cell, sources)
        nbformat.write(content, target)
        return target

    def open(self, page: Any, notebook: Path) -> None:
        """Open a notebook and wait for its kernel."""
        page.goto(f"{self.url}/lab/tree/{notebook.relative_to(self.folder)}?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=START_S * 1e3)
        page.wait_for_function(IDLE, timeout=START_S * 1e3)
        settle(page)

    def run_all(self, page: Any) -> None:
        """Run all cells; they go on when this returns."""
        for _ in range(20):
            with suppress(TimeoutError):
                page.click(".jp-Notebook .jp-CodeCell >> nth=0", timeout=3000)
                page.keyboard.press("Escape")
                page.click("li.lm-MenuBar-item:has-text('Run')", timeout=3000)
                page.click("li.lm-Menu-item:has-text('Run All Cells')", timeout=3000)
            if not settle(page) and page.query_selector(STARTED):
                return
        raise AssertionError("the cells do not run")


def settle(page: Any) -> bool:
    """Answer JupyterLab when it asks once more for the kernel that it has; return if it did.

    It then starts another kernel, and what ran in the first is lost.
    """
    asked, until = False, time.monotonic() + QUIET_S
    while time.monotonic() < until:
        dialog = page.query_selector("dialog.jp-Dialog button.jp-mod-accept")
        if dialog is not None:
            dialog.click()
            page.wait_for_timeout(1000)
            page.wait_for_function(IDLE, timeout=START_S * 1e3)
            asked, until = True, time.monotonic() + QUIET_S
        page.wait_for_timeout(200)
    return asked


def executed(page: Any, notebook: Path, last: str = "", *, after: int = 0) -> list[Any]:
    """Wait until cells are done, save, and return all code cells; an error is a failure.

    `last` is a text in the cells to wait for; "": all. `after` is the number of an execution that
    has been before.
    """
    page.wait_for_function(EXECUTED, arg=[last, after], timeout=RUN_S * 1e3)
    code: list[Any] = []
    until = time.monotonic() + SAVE_S
    while time.monotonic() < until:
        if page.query_selector("dialog.jp-Dialog") is not None:  # "has changed on disk", it thinks
            page.keyboard.press("Enter")
        page.keyboard.press("Control+s")
        page.wait_for_timeout(500)
        with suppress(nbformat.reader.NotJSONError):  # it is being written
            cells = nbformat.read(notebook, as_version=4).cells
            code = [cell for cell in cells if cell.cell_type == "code"]
        for cell in code:
            for output in cell.outputs:
                if output.output_type == "error":
                    raise AssertionError("\n".join([cell.source, *output.traceback]))
        numbers = [cell.execution_count or 0 for cell in code if last in cell.source]
        if numbers and min(numbers) > after:
            return code
    raise AssertionError(f"not saved: {[cell.execution_count for cell in code]}")


def foreign(page: Any) -> list[str]:
    """Return what a page will ask of other machines: there may be no network."""
    asked: list[str] = []
    here = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    page.on("request", lambda one: None if one.url.startswith(here) else asked.append(one.url))
    return asked


def plots(page: Any) -> dict[str, dict[str, list[Any]]]:
    """Columns of each of the plots that the browser has, by their name."""
    found: dict[str, dict[str, list[Any]]] = page.evaluate(SOURCES)
    return found


def start_lab(folder: Path, port: int, log: Path) -> tuple[Lab, subprocess.Popen[bytes]]:
    """Start ``make lab`` behind the prefix of a hub and wait until it answers.

    A hub's proxy passes paths on as they are, so a server with this `base_url` is what stands
    behind it; a link that forgets the prefix meets 404.
    """
    settings = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0,
        "IdentityProvider.token": "", "ServerApp.root_dir": folder, "ServerApp.base_url": PREFIX,
    }  # fmt: skip
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = ["make", "lab", "ENV=active", "ARGS=--no-browser --allow-root " + " ".join(options)]
    here = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment = {
        **here,
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTER_CONFIG_DIR": str(folder.parent / "jupyter"),
        "JUPYTER_DATA_DIR": str(folder.parent / "jupyter"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder.parent / "workspaces"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    url, until = f"http://127.0.0.1:{port}{PREFIX}".rstrip("/"), time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{url}/api/status", timeout=2):
            return Lab(url, folder), server
        time.sleep(0.2)
    stop(server)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server with all that it has started."""
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(60)


def look(page: Any, folder: Path | None, name: str, *, only: str = "", below: str = "") -> None:
    """Keep a picture of the page, if pictures are wanted.

    `only` is the thing in it to show, `below` the one at its upper edge.
    """
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(3):  # heights are guessed until cells are seen
        if below:
            page.locator(below).first.evaluate("thing => thing.scrollIntoView()")
        page.wait_for_timeout(800)  # typesetting and transitions
    page.mouse.move(5, 5)  # no tooltip
    thing = page.locator(only).first if only else page
    thing.screenshot(path=str(folder / f"{name}.png"))


def damage(path: Path, branch: str) -> None:
    """Make the first basket of a branch of a file unreadable; a link is replaced."""
    import uproot

    with uproot.open(path) as file:
        members = file["Events"][branch].all_members
        begin, length = (int(members[name][0]) for name in ("fBasketSeek", "fBasketBytes"))
    content = bytearray(path.read_bytes())
    content[begin : begin + length] = b"\xff" * length
    path.unlink()
    path.write_bytes(content)

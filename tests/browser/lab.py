"""A JupyterLab that answers this machine only, and what a user does in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError

__all__ = ["Lab", "damage", "plots", "start_lab"]

ROOT = Path(__file__).resolve().parents[2]
START_S = 120
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
STARTED = ".jp-InputPrompt:has-text('*'), .jp-InputPrompt:has-text('1')"
IDLE = "() => document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"


class Lab:
    """A running server.

    Parameters
    ----------
    url
        Of its root.
    folder
        That it serves.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def open(self, page: Any, notebook: Path) -> None:
        """Open a notebook and wait for its kernel."""
        page.goto(f"{self.url}/lab/tree/{notebook.relative_to(self.folder)}?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=START_S * 1e3)
        page.wait_for_function(IDLE, timeout=START_S * 1e3)

    def run_all(self, page: Any) -> None:
        """Run all cells; they go on when this returns."""
        for _ in range(20):
            dialog = page.query_selector("dialog.jp-Dialog button.jp-mod-accept")
            if dialog is not None:  # it may ask once more for the kernel that it has
                dialog.click()
                page.wait_for_timeout(1000)
            if page.query_selector(STARTED):
                return
            with suppress(TimeoutError):
                page.click(".jp-Notebook .jp-CodeCell >> nth=0", timeout=3000)
                page.keyboard.press("Escape")
                page.click("li.lm-MenuBar-item:has-text('Run')", timeout=3000)
                page.click("li.lm-Menu-item:has-text('Run All Cells')", timeout=3000)
            page.wait_for_timeout(2000)
        raise AssertionError("the cells do not run")


def plots(page: Any) -> dict[str, dict[str, list[Any]]]:
    """Columns of each of the plots that the browser has, by their name."""
    found: dict[str, dict[str, list[Any]]] = page.evaluate(SOURCES)
    return found


def start_lab(folder: Path, port: int, log: Path) -> tuple[Lab, subprocess.Popen[bytes]]:
    """Start a server and wait until it answers."""
    settings = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0,
        "ServerApp.token": "", "ServerApp.password": "", "ServerApp.root_dir": folder,
        "IdentityProvider.token": "",
    }  # fmt: skip
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
    environment = {
        **os.environ,
        "BOKEH_RESOURCES": "inline",  # there is no network
        "JUPYTER_CONFIG_DIR": str(folder / ".jupyter"),  # ours, but it writes to it
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    shutil.copytree(ROOT / "jupyter", folder / ".jupyter")
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{url}/api/status", timeout=2):
            return Lab(url, folder), server
        time.sleep(0.2)
    server.terminate()
    server.wait(20)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


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

"""Make the pictures of the README from a run of salaries: `uv run python docs/pictures.py [FOLDER]`.

`report.png` is the top of its page, `pipeline.png` what Kedro-Viz shows of it, and `terminal.png` what the run prints.
It needs the browser Chromium, in Debian's package `chromium` or where the variable CHROMIUM says.
"""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
PICTURES = PROJECT / "docs/pictures"
WIDTH, HEIGHT = 1280, 800
COLUMNS = 140  # of the terminal
MOST_BYTES = 300_000
START_SECONDS = 120
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {"showFeatureHints": False, "visible": {"miniMap": False}}  # of Kedro-Viz: no tour through what is new
TERMINAL = """<body style="margin:0;padding:28px;background:#1c1f26">
<pre style="margin:0;font:14.5px/1.55 'DejaVu Sans Mono',Menlo,Consolas,monospace;color:#e6e6e6">{code}</pre>"""


def chromium() -> str | None:
    """Find the browser."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def browser() -> Iterator[Any]:
    """Start the browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def kedro_viz(*options: str, folder: Path = PROJECT) -> Iterator[str]:
    """Serve Kedro-Viz on this machine alone, and yield its address; its processes end with the context.

    Raises:
        RuntimeError: it ends at once, or does not answer.
    """
    port = 20_000 + os.getpid() % 20_000
    command = [_program("kedro"), "viz", "run", "--no-browser", "--host=127.0.0.1", f"--port={port}", *options]
    with tempfile.TemporaryFile() as printed:
        started = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=printed, start_new_session=True)
        try:
            _wait(started, f"http://127.0.0.1:{port}/api/main", printed)
            yield f"http://127.0.0.1:{port}"
        finally:  # it serves from a process of its own, which would outlive it
            os.killpg(started.pid, signal.SIGTERM)
            started.wait()


def _wait(started: subprocess.Popen[bytes], address: str, printed: Any) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and started.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    printed.seek(0)
    raise RuntimeError(f"kedro viz does not answer; it printed: {printed.read().decode(errors='replace')}")


def open_viz(window: Any, address: str) -> Any:
    """Open a page of Kedro-Viz, and wait until its flowchart is drawn."""
    page = window.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    settings = json.dumps(SETTINGS)
    page.add_init_script(f"localStorage.getItem('KedroViz') || localStorage.setItem('KedroViz', {settings!r})")
    page.goto(address)
    page.wait_for_selector("#pipeline-graph .pipeline-node")
    page.add_style_tag(content=".update-reminder-unexpanded { display: none }")  # of newer versions
    return page


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def run_in_terminal(*command: str) -> str:
    """Run a command in a terminal, and return what stays on the screen, with its colours.

    Raises:
        CalledProcessError: it fails.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    started = subprocess.Popen(command, cwd=PROJECT, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    printed = b""
    while block := _read(ours):
        printed += block
    os.close(ours)
    if status := started.wait():
        raise subprocess.CalledProcessError(status, command, printed)
    return "\n".join(_last(line) for line in printed.decode().replace("\r\n", "\n").split("\n"))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # its last process has ended
        return b""


def _last(line: str) -> str:
    """Return what a line shows after it was written over, as bars do."""
    line = re.sub(r"\x1b\[\d*[A-HJKSTf]|\x1b\[\?\d+[hl]", "", line)
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :] if "\x1b" not in shown + part else part or shown
    return shown.rstrip()


def take_terminal(window: Any, command: list[str], text: str, path: Path) -> None:
    """Take a picture of a terminal with a command and what it printed."""
    from rich.console import Console
    from rich.text import Text

    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text("$ " + " ".join(command), style="bold"))
        console.print(Text.from_ansi(text))
        code = console.export_html(inline_styles=True, code_format="{code}")
    page = window.new_page(viewport={"width": WIDTH, "height": 100})
    page.set_content(TERMINAL.format(code=code))
    save(page.screenshot(full_page=True), path)
    page.close()


def save(picture: bytes, path: Path) -> None:
    """Write a PNG, with fewer colours where it would be too large."""
    import io

    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.save(path, optimize=True)
    if path.stat().st_size >= MOST_BYTES:
        image.quantize(255).save(path, optimize=True)


def main(folder: Path = PICTURES) -> None:
    """Run salaries into a temporary folder, and make the pictures of it."""
    if chromium() is None:
        sys.exit("Chromium is not installed: apt-get install chromium, or name it in the variable CHROMIUM")
    with tempfile.TemporaryDirectory() as output, browser() as window:
        written = f"--params=output_root={output}"
        shown = ["kedro", "run", "--pipeline=salaries"]
        text = run_in_terminal(_program("kedro"), *shown[1:], written).replace(f" {written}", "").replace(output, "data")
        take_terminal(window, shown, text, folder / "terminal.png")
        with kedro_viz(written) as address:
            page = open_viz(window, f"{address}/?pid=salaries")
            page.wait_for_timeout(1000)  # it moves into its place
            save(page.screenshot(), folder / "pipeline.png")
        page = window.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto((Path(output) / "08_reporting/salaries/report.html").as_uri())
        page.wait_for_load_state("load")
        save(page.screenshot(), folder / "report.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))

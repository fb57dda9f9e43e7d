"""
`make pictures`: the boards, as they look after a gateway's day, into docs/boards.

A real gateway before the sandbox, a real Prometheus that scrapes it, and a page that draws the
committed boards with Grafana's own components (grafana/pictures), photographed by Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import http.server
import json
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from grafana.render import FOLDER as BOARDS
from tests.pictures.day import a_day
from tests.support.prometheus import Prometheus

_PAGE = Path(__file__).parents[2] / "grafana" / "pictures"
_COLOURS = 128


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A folder by HTTP on loopback; its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _build() -> Path:
    """The page, built from what package-lock.json names; its folder."""
    if not (_PAGE / "node_modules" / "vite").is_dir():
        subprocess.run(["npm", "ci", "--silent"], cwd=_PAGE, check=True)
    subprocess.run(["npx", "vite", "build"], cwd=_PAGE, check=True)
    return _PAGE / "node_modules" / ".page"


def _photograph(page: Path, prometheus: str, span: tuple[int, int], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with _served(page) as address:
        wanted = []
        for board in sorted(BOARDS.glob("*.json")):
            asked = {"board": board.name, "prometheus": prometheus, "from": span[0], "to": span[1]}
            file = into / f"{board.stem}.png"
            url = f"{address}/index.html?{urllib.parse.urlencode(asked)}"
            wanted.append({"url": url, "file": str(file.resolve())})
        subprocess.run(
            ["node", "take.js"], cwd=_PAGE, input=json.dumps(wanted), text=True, check=True
        )
    for one in wanted:
        # A board has few colours; a picture of all of them is several times larger.
        few = Image.open(one["file"]).convert("RGB").quantize(_COLOURS)
        few.save(one["file"], optimize=True)


async def _run(folder: Path, seconds: float, into: Path) -> None:
    page = await asyncio.to_thread(_build)
    async with a_day(folder) as day:
        prometheus = Prometheus(folder, [f"127.0.0.1:{day.gateway.http_port}"])
        await prometheus.start()
        try:
            await prometheus.wait_for("up == 1")
            began = time.time()
            await day.pass_in(seconds)
            address = f"http://127.0.0.1:{prometheus.port}"
            # What clients still had to wait for afterwards is not of the day.
            span = (int(began), int(began + seconds))
            await asyncio.to_thread(_photograph, page, address, span, into)
        finally:
            await prometheus.stop()


def main() -> None:
    """Live a day and photograph it."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="how long the day is")
    parser.add_argument("--into", type=Path, default=Path("docs/boards"), help="the folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailquay-pictures-") as folder:
        asyncio.run(_run(Path(folder), given.seconds, given.into))


if __name__ == "__main__":
    main()

"""
A real Prometheus for tests: scrapes every second, answers queries, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.ports import free_port

_PROGRAM = "prometheus"
_WAIT_S = 60.0


class Prometheus:
    """
    A server of its own for one test.

    Args:
        folder: For configuration and data.
        targets: `host:port` of what is scraped, as job `mailquay`.
        rules: Files of alerting rules.
        alertmanager: Where alerts go, `host:port`.
        exemplars: Keep them.
    """

    def __init__(
        self,
        folder: Path,
        targets: list[str],
        *,
        rules: tuple[Path, ...] = (),
        alertmanager: str | None = None,
        exemplars: bool = False,
    ) -> None:
        if shutil.which(_PROGRAM) is None:
            pytest.skip("not installed: prometheus")
        self._folder = folder
        self.port = free_port()
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {"job_name": "mailquay", "static_configs": [{"targets": targets}]},
            ],
        }
        if alertmanager is not None:
            managers = [{"static_configs": [{"targets": [alertmanager]}]}]
            config["alerting"] = {"alertmanagers": managers}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self._features = ("--enable-feature=exemplar-storage",) if exemplars else ()
        self._process: asyncio.subprocess.Process | None = None
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30
        )

    async def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                _PROGRAM,
                f"--config.file={self._folder}/prometheus.yaml",
                f"--storage.tsdb.path={self._folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
                *self._features,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_WAIT_S):
            # Another process's start has no event to wait for.
            while not await self._is_ready():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _is_ready(self) -> bool:
        try:
            return (await self._client.get("/-/ready")).is_success
        except httpx.TransportError:
            return False

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; an error of it fails the test."""
        answer = (await self._client.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", f"{answer.get('error')}: {expression}"
        return list(answer["data"]["result"])

    async def wait_for(self, expression: str, timeout_s: float = _WAIT_S) -> list[dict[str, Any]]:
        """Wait until an expression gives a series."""
        async with asyncio.timeout(timeout_s):
            # Nor has another process's state.
            while not (found := await self.query(expression)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return found

    async def exemplars(self, selector: str) -> list[dict[str, Any]]:
        """Wait until there are exemplars of a series, and give them."""
        async with asyncio.timeout(_WAIT_S):
            while True:
                params = {"query": selector, "start": "0", "end": "9999999999"}
                found = (await self._client.get("/api/v1/query_exemplars", params=params)).json()
                if found["data"]:
                    return [one for series in found["data"] for one in series["exemplars"]]
                await asyncio.sleep(0.2)  # another process's state has no event

    async def label_values(self, selector: str, label: str) -> list[str]:
        """As a board's variable asks for them."""
        params = {"match[]": selector}
        answer = (await self._client.get(f"/api/v1/label/{label}/values", params=params)).json()
        return list(answer["data"])

    async def alerts(self) -> list[dict[str, Any]]:
        """All alerts that are pending or firing."""
        return list((await self._client.get("/api/v1/alerts")).json()["data"]["alerts"])

    async def stop(self) -> None:
        """End it."""
        await self._client.aclose()
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()

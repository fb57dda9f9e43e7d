"""The image run with no more rights than it needs: what its tests and its scales have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.ports import free_port
from providers.sandbox.server import Sandbox
from tests.container.podman import Podman
from tests.e2e.gateway_process import smarthost

HARDENED = (
    *("--network", "host", "--read-only", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges", "--memory", "256m", "--health-interval", "disable"),
)


def start(
    podman: Podman, folder: Path, volume: str, sandbox: Sandbox, *, tag: str, name: str
) -> tuple[int, int]:
    """Start a gateway that sends by the sandbox's smarthost; its SMTP and HTTP ports."""
    ports = free_port(), free_port()
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(config_of(sandbox, *ports)))
    done = podman(
        *("run", "-d", "--name", name, *HARDENED),
        *("-v", f"{path}:/etc/mailquay/gateway.yaml:ro", "-v", f"{volume}:/var/lib/mailquay", tag),
    )
    assert done.code == 0, done.out
    return ports


def config_of(sandbox: Sandbox, smtp_port: int, http_port: int) -> dict[str, Any]:
    """One provider, the sandbox, and the ports of one gateway."""
    return {
        "hostname": "gateway.example.com",
        "smtp": {"listeners": [{"name": "app", "host": "127.0.0.1", "port": smtp_port}]},
        "http": {"port": http_port},
        "providers": {"main": smarthost(sandbox)},
        "retry": {"first": "1s", "longest": "1s"},
    }

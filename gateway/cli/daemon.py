"""`mailquay serve`, the daemon, and `mailquay demo`, the daemon with the sandbox behind it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.lazy import hidden
from gateway.cli.output import ConfigOption, flush, print_line

if TYPE_CHECKING:
    from gateway.app.gateway import Gateway
    from gateway.config import Settings
    from gateway.observe.addresses import AddressMarks
    from providers.sandbox.server import Sandbox


def serve(config: ConfigOption = None) -> None:
    """Run the gateway until SIGTERM, then drain; SIGHUP reads the configuration again."""
    import uvloop

    with hidden("rich"):  # structlog and httpx would load it for looks: 4 MiB for as long as we run
        from gateway.app.running import run_until_stopped
        from gateway.config import load
        from gateway.observe.log import set_up

    settings = load(config)
    set_up(settings.log.format, settings.log.level, _marks(settings))
    uvloop.run(run_until_stopped(settings, read_again=lambda: load(config)))


def demo(
    folder: Annotated[Path, typer.Option(help="Where spool and configuration are kept.")] = Path(
        "var/demo"
    ),
    smtp_port: Annotated[int, typer.Option(help="Where the gateway takes letters.")] = 2525,
    http_port: Annotated[int, typer.Option(help="Its metrics and health.")] = 8025,
) -> None:
    """Run a gateway with the built-in sandbox standing in for all three providers."""
    import uvloop

    from gateway.observe.log import set_up

    set_up("auto", "info")
    uvloop.run(_demo(folder, smtp_port, http_port))


async def _demo(folder: Path, smtp_port: int, http_port: int) -> None:
    from gateway.app.running import run_until_stopped
    from gateway.config import load
    from providers.sandbox.server import Sandbox

    sandbox = Sandbox(step_s=2.0)
    await sandbox.start()
    try:
        path = _write_config(folder, smtp_port, http_port, sandbox)
        await run_until_stopped(load(path), started=_greeter(path, sandbox))
    finally:
        await sandbox.stop()


def _write_config(folder: Path, smtp_port: int, http_port: int, sandbox: Sandbox) -> Path:
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "gateway.yaml"
    config = _demo_config(folder.resolve(), smtp_port, http_port, sandbox)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def _demo_config(folder: Path, smtp_port: int, http_port: int, sandbox: Sandbox) -> dict[str, Any]:
    """One provider of each kind, all at the sandbox, and a recipient domain that leads to each."""
    from providers.sandbox import credentials

    return {
        "hostname": "gateway.example.com",
        "smtp": {"listeners": [{"name": "app", "host": "127.0.0.1", "port": smtp_port}]},
        "http": {
            "host": "127.0.0.1",
            "port": http_port,
            "public_url": f"http://127.0.0.1:{http_port}",
        },
        "spool": {"url": f"sqlite:///{folder}/spool.db"},
        "providers": {
            "main": {
                "kind": "smarthost",
                "host": "127.0.0.1",
                "port": sandbox.smtp_port,
                "tls": "off",
                "allow_plain_auth": True,
                "username": credentials.SMTP_USERNAME,
                "password": credentials.SMTP_PASSWORD,
            },
            "rest": {
                "kind": "rest_v1",
                "base_url": sandbox.v1_url,
                "api_key": credentials.V1_API_KEY,
                "webhook_secret": secrets.token_hex(20),
            },
            "bulk": {
                "kind": "form_v2",
                "base_url": sandbox.v2_url,
                "token": credentials.V2_TOKEN,
            },
        },
        "routes": [
            {
                "name": "to-rest",
                "when": {"recipient_domain": "v1.example.com"},
                "providers": ["rest", "main"],
            },
            {
                "name": "to-bulk",
                "when": {"recipient_domain": "v2.example.com"},
                "providers": ["bulk", "main"],
            },
            {"name": "default", "providers": ["main", "rest"]},
        ],
    }


def _greeter(config: Path, sandbox: Sandbox) -> Callable[[Gateway], None]:
    """Say where to point an application, how to send a letter, and where to look."""

    def greet(gateway: Gateway) -> None:
        smtp = gateway.smtp_ports["app"]
        web = f"http://127.0.0.1:{gateway.http_port}"
        mailquay = f"mailquay {{}} -c {config}"
        letter = "--from app@example.com --to bob@example.com --subject Hello"
        for line in (
            "",
            "Mailquay is running; the sandbox stands in for all three providers.",
            "",
            f"  Point an application at   SMTP host 127.0.0.1, port {smtp}, no TLS, no login",
            f"  Send a letter             .venv/bin/{mailquay.format('send')} {letter}",
            "  … by the v1 API           the same with --to bob@v1.example.com",
            "  … by the v2 API           the same with --to bob@v2.example.com",
            f"  What became of it         .venv/bin/{mailquay.format('trace')} bob@example.com",
            f"  The queue                 .venv/bin/{mailquay.format('queue stats')}",
            f"  What the sandbox got      curl {sandbox.url}/_sandbox/letters",
            f"  Metrics and health        curl {web}/metrics {web}/readyz",
            "",
            "Ctrl-C stops it.",
            "",
        ):
            print_line(line)
        flush()

    return greet


def _marks(settings: Settings) -> AddressMarks | None:
    """What stands in place of addresses in the log, where the operator wants that."""
    from gateway.observe.addresses import AddressMarks

    if settings.log.addresses == "plain":
        return None
    key = settings.log.address_key
    return AddressMarks(secrets.token_bytes(32) if key is None else key.get_secret_value().encode())

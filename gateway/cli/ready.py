"""`mailquay ready`: asks the running daemon whether it is well; what a container's check runs."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from gateway.cli.output import ConfigOption, JsonOption, fail, print_json, print_line

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not listened on


def ready(
    config: ConfigOption = None,
    *,
    live: Annotated[bool, typer.Option("--live", help="Only whether it answers at all.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Ask the running daemon whether mail can come in and leaves; exit 69 with the reasons."""
    import httpx

    from gateway.config import load

    http = load(config).http
    host = _ANY.get(http.host, http.host)
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{http.port}/{'livez' if live else 'readyz'}"
    try:
        answer = httpx.get(url, timeout=timeout, trust_env=False)
    except httpx.HTTPError as error:
        fail(f"no answer from {url}: {str(error) or type(error).__name__}", os.EX_UNAVAILABLE)
    reasons = [] if live else _reasons(answer)
    if as_json:
        print_json({"ready": answer.is_success, "reasons": reasons})
    elif answer.is_success:
        print_line("live" if live else "ready")
    else:
        fail(f"not ready: {'; '.join(reasons) or answer.status_code}", os.EX_UNAVAILABLE)
    if not answer.is_success:
        raise SystemExit(os.EX_UNAVAILABLE)


def _reasons(answer: Any) -> list[str]:  # noqa: ANN401 - httpx is imported by the command alone
    try:
        return [str(reason) for reason in answer.json()["reasons"]]
    except (ValueError, KeyError, TypeError):
        return ["something else answers there"]

"""
An ASGI application on a loopback port, and a plain client for it that helps with nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import ASGIApp

from providers.sandbox.listener import HttpListener

# Loopback speaks no TLS; reading the world's certificate authorities for each test takes long.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(base_url: str) -> httpx.AsyncClient:
    """A client for a loopback address."""
    return httpx.AsyncClient(base_url=base_url, verify=_NO_AUTHORITIES, trust_env=False, timeout=60)


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose base URL is the application's root; both are gone at the end."""
    listener = HttpListener(app)
    await listener.start()
    try:
        async with plain_client(f"http://127.0.0.1:{listener.port}") as client:
            yield client
    finally:
        await listener.stop()

"""
The HTTP side of the sandbox put together: v1 under `/v1`, v2 under `/api/v2`, and the control.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Mount

from providers.contract.capabilities import Rate
from providers.sandbox import credentials
from providers.sandbox.control import Control
from providers.sandbox.faults import FaultPlan
from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.rest_v1 import SandboxRestV1

V1_PATH = "/v1"
V2_PATH = "/api/v2"


def build_app(
    letterbox: Letterbox,
    faults: FaultPlan,
    *,
    api_key: str = credentials.V1_API_KEY,
    token: str = credentials.V2_TOKEN,
    rate: Rate | None = None,
) -> Starlette:
    """
    The ASGI application, for a `listener.HttpListener`.

    Args:
        letterbox: Where accepted letters go.
        faults: What goes wrong.
        api_key: The key that v1 takes.
        token: The token that v2 takes.
        rate: The limit that v1 holds its callers to.
    """
    return Starlette(
        routes=[
            Mount(V1_PATH, routes=SandboxRestV1(letterbox, faults, api_key, rate).routes()),
            Mount(V2_PATH, routes=SandboxFormV2(letterbox, faults, token).routes()),
            Mount("/_sandbox", routes=Control(letterbox, faults).routes()),
        ]
    )

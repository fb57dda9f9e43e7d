"""
The HTTP side of the sandbox put together: v1 under `/v1`, v2 under `/api/v2`, and the control.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Mount

from providers.sandbox import credentials
from providers.sandbox.control import Control
from providers.sandbox.faults import FaultPlan
from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.form_v2_control import V2Control
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.rest_v1 import SandboxRestV1

V1_PATH = "/v1"
V2_PATH = "/api/v2"


def build_app(
    letterbox: Letterbox,
    faults: FaultPlan,
    rest_v1: SandboxRestV1,
    *,
    token: str = credentials.V2_TOKEN,
    form_v2: SandboxFormV2 | None = None,
) -> Starlette:
    """
    The ASGI application, for a `listener.HttpListener`.

    Args:
        letterbox: Where accepted letters go.
        faults: What goes wrong.
        rest_v1: The account of v1, with the same letterbox and faults.
        token: The token that v2 takes.
        form_v2: The account of v2, in place of a new one that takes `token`.
    """
    v2 = form_v2 or SandboxFormV2(letterbox, faults, token)
    return Starlette(
        routes=[
            Mount(V1_PATH, routes=rest_v1.routes()),
            Mount(V2_PATH, routes=v2.routes()),
            Mount("/_sandbox/v2", routes=V2Control(v2).routes()),
            Mount("/_sandbox/v1", routes=rest_v1.control()),
            Mount("/_sandbox", routes=Control(letterbox, faults).routes()),
        ]
    )

"""
The whole sandbox as one thing to start and stop: SMTP and HTTP listeners over one letterbox.
"""

from __future__ import annotations

from collections.abc import Iterable

from providers.contract.capabilities import Rate
from providers.sandbox import credentials
from providers.sandbox.app import V1_PATH, V2_PATH, build_app
from providers.sandbox.faults import Fault, FaultPlan
from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.form_v2_account import V2Account
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.listener import HttpListener
from providers.sandbox.rest_v1 import Dialect, SandboxRestV1
from providers.sandbox.smarthost import SandboxSmarthost

V2_LISTS = {1: ["bob@example.com", "eve@example.com"]}
V1_RATE = Rate(5)  # what the platform publishes (provider reference, part B.1)


class Sandbox:
    """
    The three imitated providers on loopback ports, with the dummy credentials of `credentials`.

    `letterbox`, `faults`, `rest_v1` and `form_v2` may be used directly by whoever runs in the same
    process.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        smtp_port: int = 0,
        http_port: int = 0,
        faults: Iterable[Fault] = (),
        rate: Rate | None = V1_RATE,
        step_s: float | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        """
        Nothing is bound yet.

        Args:
            host: The address of both listeners.
            smtp_port: Port of the imitated smarthost; 0 takes a free one.
            http_port: Port of v1, v2 and the control interface; 0 takes a free one.
            faults: The plan to begin with.
            rate: The limit that v1 holds its callers to.
            step_s: How long letters, imports and campaigns of v1 stay in one state, in seconds;
                `None`: until they are told to move on.
            dialect: The habits of v1.
        """
        self.letterbox = Letterbox()
        self.faults = FaultPlan(list(faults))
        self._host = host
        self._smarthost = SandboxSmarthost(
            self.letterbox,
            self.faults,
            host=host,
            port=smtp_port,
            username=credentials.SMTP_USERNAME,
            password=credentials.SMTP_PASSWORD,
        )
        lists = {number: list(emails) for number, emails in V2_LISTS.items()}
        self.form_v2 = SandboxFormV2(
            self.letterbox, self.faults, credentials.V2_TOKEN, account=V2Account(lists)
        )
        key = credentials.V1_API_KEY
        self.rest_v1 = SandboxRestV1(
            self.letterbox, self.faults, key, rate, dialect=dialect, step_s=step_s
        )
        app = build_app(self.letterbox, self.faults, self.rest_v1, form_v2=self.form_v2)
        self._http = HttpListener(app, host, http_port)

    @property
    def smtp_port(self) -> int:
        """Where the imitated smarthost listens, once started."""
        return self._smarthost.port

    @property
    def smtp_violations(self) -> tuple[str, ...]:
        """The rules that clients of the smarthost broke, in order."""
        return tuple(self._smarthost.violations)

    @property
    def http_port(self) -> int:
        """Where v1, v2 and the control interface listen, once started."""
        return self._http.port

    @property
    def url(self) -> str:
        """The root of the HTTP listener, once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.http_port}"

    @property
    def v1_url(self) -> str:
        """`base_url` for `rest_v1`, once started."""
        return self.url + V1_PATH

    @property
    def v2_url(self) -> str:
        """`base_url` for `form_v2`, once started."""
        return self.url + V2_PATH

    async def start(self) -> None:
        """
        Bind both ports.

        Raises:
            OSError: One of them cannot be bound; the other is closed again.
        """
        await self._http.start()
        try:
            await self._smarthost.start()
        except BaseException:
            await self._http.stop()
            raise
        await self.rest_v1.start()

    async def stop(self) -> None:
        """Close both, hung and waiting connections included; may be called twice."""
        await self.rest_v1.stop()
        await self._smarthost.stop()
        await self._http.stop()

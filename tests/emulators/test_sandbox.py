"""The sandbox as a whole: its control interface, and that it starts and stops."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from providers.sandbox import credentials
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.support.http_sandbox import plain_client

LETTER = {
    "from_email": "news@example.com",
    "to": "bob@example.org",
    "subject": "Order 77",
    "text": "Thank you",
}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(sandbox.url) as client:
        yield client


async def send(client: httpx.AsyncClient, to: str = "bob@example.org") -> httpx.Response:
    """One letter through v1."""
    return await client.post(
        "/v1/email/messages",
        json={**LETTER, "to": to},
        headers={"Authorization": f"Bearer {credentials.V1_API_KEY}"},
    )


class TestLetters:
    async def test_all_three_providers_fill_one_letterbox(
        self, sandbox: Sandbox, client: httpx.AsyncClient
    ):
        """What arrived over SMTP, v1 and v2 is told as JSON, octets in base64."""
        assert (await send(client)).status_code == 201
        form = {
            "token": credentials.V2_TOKEN,
            "sender_email": "news@example.com",
            "subject": "Order 77",
            "message": "<p>Hi</p>",
            "email": "eve@example.org",
        }
        file = {"attachment": ("1.bin", b"\x00\xff")}
        response = await client.post("/api/v2/sendEmail", data=form, files=file)
        assert response.status_code == 200
        await asyncio.to_thread(_send_by_smtp, sandbox.smtp_port)
        letters = (await client.get("/_sandbox/letters")).json()
        assert [letter["provider"] for letter in letters] == ["rest_v1", "form_v2", "smarthost"]
        assert letters[0]["text"] == "Thank you"
        assert base64.b64decode(letters[1]["attachments"][0]["content"]) == b"\x00\xff"
        assert base64.b64decode(letters[2]["content"]).endswith(b"\r\n\r\nHi\r\n")

    async def test_some_of_them(self, client: httpx.AsyncClient):
        """By provider and by a piece of the recipient's address."""
        await send(client)
        await send(client, "Eve@example.org")
        found = (await client.get("/_sandbox/letters?recipient=eve@")).json()
        assert [letter["recipient"] for letter in found] == ["Eve@example.org"]
        assert (await client.get("/_sandbox/letters?provider=form_v2")).json() == []
        assert len((await client.get("/_sandbox/letters?provider=rest_v1")).json()) == 2

    async def test_waiting_for_letters(self, sandbox: Sandbox, client: httpx.AsyncClient):
        """The answer comes with the letter that was waited for, not after some time."""
        waiting = asyncio.create_task(client.get("/_sandbox/letters?wait=2&timeout=30"))
        await send(client)
        await send(client)
        response = await waiting
        assert (response.status_code, len(response.json())) == (200, 2)

    async def test_waiting_in_vain(self, client: httpx.AsyncClient):
        """408 with what there is, when the time is over."""
        await send(client)
        response = await client.get("/_sandbox/letters?wait=2&timeout=0.05")
        assert (response.status_code, len(response.json())) == (408, 1)

    @pytest.mark.parametrize("query", ["wait=x", "timeout=soon"])
    async def test_bad_numbers(self, client: httpx.AsyncClient, query: str):
        """Told, not guessed."""
        assert (await client.get(f"/_sandbox/letters?{query}")).status_code == 400

    async def test_forgetting(self, client: httpx.AsyncClient):
        """The letterbox can be emptied; calls stay counted."""
        await send(client)
        assert (await client.delete("/_sandbox/letters")).status_code == 204
        assert (await client.get("/_sandbox/letters")).json() == []
        assert (await client.get("/_sandbox/calls")).json() == {"rest_v1": 1}


class TestFaults:
    async def test_planned_from_outside(self, sandbox: Sandbox, client: httpx.AsyncClient):
        """A fault as JSON strikes as often as it says, and can be seen."""
        fault = {"kind": "throttle", "provider": "rest_v1", "times": 2, "retry_after_s": 7}
        assert (await client.post("/_sandbox/faults", json=fault)).status_code == 201
        (planned,) = (await client.get("/_sandbox/faults")).json()
        assert planned == {**fault, "recipient": "", "style": "", "method": ""}
        assert [(await send(client)).status_code for _ in range(3)] == [429, 429, 201]

    async def test_taken_back(self, client: httpx.AsyncClient):
        """Without a plan all is well."""
        await client.post("/_sandbox/faults", json={"kind": "error", "times": None})
        assert (await send(client)).status_code == 500
        assert (await client.delete("/_sandbox/faults")).status_code == 204
        assert (await send(client)).status_code == 201

    @pytest.mark.parametrize(
        "fault",
        [{}, {"kind": "flood"}, {"kind": "error", "when": "now"}, {"kind": "error", "times": "x"}],
    )
    async def test_bad_faults(self, client: httpx.AsyncClient, fault: dict[str, object]):
        """A misspelt fault is refused and not planned."""
        assert (await client.post("/_sandbox/faults", json=fault)).status_code == 400
        assert (await client.post("/_sandbox/faults", content=b"no")).status_code == 400
        assert (await client.get("/_sandbox/faults")).json() == []


class TestLife:
    async def test_faults_from_the_start(self):
        """Planned before the first client comes; the published rate of v1 holds."""
        sandbox = Sandbox(faults=[Fault(FaultKind.DEFER)])
        await sandbox.start()
        async with plain_client(sandbox.url) as client:
            assert (await send(client)).status_code == 503
            responses = await asyncio.gather(*[send(client) for _ in range(30)])
        await sandbox.stop()
        assert {response.status_code for response in responses} == {201, 429}

    async def test_stopping_while_somebody_waits(self, sandbox: Sandbox):
        """Open connections do not hold it up; stopping again is harmless."""
        async with plain_client(sandbox.url) as client:
            waiting = asyncio.create_task(client.get("/_sandbox/letters?wait=1&timeout=30"))
            sandbox.faults.add(Fault(FaultKind.HANG))
            hanging = asyncio.create_task(send(client))
            await sandbox.letterbox.wait_until(lambda box: bool(box.calls))
            await sandbox.stop()
            await sandbox.stop()
            for task in (waiting, hanging):
                with pytest.raises(httpx.TransportError):
                    await task

    async def test_a_port_that_is_taken(self):
        """When one listener cannot start the other is closed again."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            sandbox = Sandbox(smtp_port=taken.getsockname()[1])
            with pytest.raises(OSError, match="in use"):
                await sandbox.start()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", sandbox.http_port)


def _send_by_smtp(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as smtp:
        smtp.ehlo("client.example.com")
        smtp.login(credentials.SMTP_USERNAME, credentials.SMTP_PASSWORD)
        smtp.sendmail("news@example.com", ["dave@example.org"], b"Subject: Hi\r\n\r\nHi\r\n")

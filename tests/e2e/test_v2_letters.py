"""A legacy application reaches the v2 service's own abilities through SMTP."""

from __future__ import annotations

from collections.abc import Callable

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import V2_LISTS, Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, form_v2

LETTER = (
    b"From: Example Shop <news@example.com>\r\nTo: bob@example.org\r\n"
    b"Message-ID: <1@example.com>\r\nSubject: Hi\r\n%b\r\nplain body\r\n"
)


def ended(event: str) -> Callable[[LogLine], bool]:
    return lambda line: line["event"] == event


async def sent(gateway: GatewayProcess, fields: bytes, to: str = "bob@example.org") -> str:
    await gateway.start()
    return await by_smtplib(gateway.smtp_port, "news@example.com", [to], LETTER % fields)


async def test_a_list_letter(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Once to everybody on the list, whom the envelope does not name; found again by its id."""
    gateway = make_gateway({"bulk": form_v2(sandbox)})
    await sent(gateway, b"X-Mailquay-List: 1\r\n")
    line = await gateway.wait_for(ended("handed_over"))
    assert [letter.recipient for letter in sandbox.letterbox.letters] == V2_LISTS[1]
    name = line["provider_message_id"]
    code, out, err = await gateway.command("v2", "deliveries", name)
    assert code == 0, err
    assert all(address in out for address in V2_LISTS[1])


async def test_tracking_is_switched(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """The letter's word goes before the account's, and no field of ours is in what goes out."""
    gateway = make_gateway({"bulk": form_v2(sandbox, track_open=True, track_click=True)})
    await sent(gateway, b"X-Mailquay-Track-Opens: no\r\n")
    await gateway.wait_for(ended("handed_over"))
    (letter,) = sandbox.letterbox.letters
    assert letter.parameters == {"track_open": "0", "track_click": "1"}
    assert "mailquay" not in letter.html.lower()


async def test_the_service_keeps_a_letter_where_the_route_says_so(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """D 33: handed over at once, with the moment in the account's zone."""
    routes = [{"name": "later", "providers": ["bulk"], "schedule": "provider"}]
    gateway = make_gateway(
        {"bulk": form_v2(sandbox)}, routes=routes, delivery={"schedule_ahead": "40000d"}
    )
    await sent(gateway, b"X-Mailquay-Send-At: 2126-01-31T12:30:00+00:00\r\n")
    await gateway.wait_for(ended("handed_over"))
    (letter,) = sandbox.letterbox.letters
    assert letter.parameters == {"d_schedule": "2126-01-31 15:30"}


async def test_what_the_service_has_not_is_refused_at_the_door(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Nothing sends by a template's id there (C.10): 554 5.6.3, and no call is made."""
    gateway = make_gateway({"bulk": form_v2(sandbox)})
    assert (await sent(gateway, b"X-Mailquay-Template: 11\r\n")).startswith("554 5.6.3")
    assert sandbox.letterbox.calls == {}


async def test_a_batch_that_is_refused_comes_apart(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """One bad letter among good ones: the batch is refused, then each has its own verdict."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "form_v2", method="sendBulkEmail", style="laravel"))
    sandbox.faults.add(Fault(FaultKind.REFUSE, "form_v2", recipient="bad@", style="200"))
    gateway = make_gateway({"bulk": form_v2(sandbox)})
    await gateway.start()
    to = ["a@example.org", "bad@example.org", "c@example.org"]
    await by_smtplib(gateway.smtp_port, "news@example.com", to, LETTER % b"")
    await gateway.wait_for_count(2, ended("handed_over"))
    failed = await gateway.wait_for(ended("failed"))
    assert failed["to"] == "bad@example.org"
    assert {letter.recipient for letter in sandbox.letterbox.letters} == {to[0], to[2]}
    assert sandbox.form_v2.methods == {"sendBulkEmail": 1, "sendEmail": 3}

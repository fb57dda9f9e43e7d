"""What none of a route's providers carries, asked of the router beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.carriage import KINDS, Carriage, carriage
from gateway.domain.routing import Condition, Fidelity, Route
from providers.contract.capabilities import ProviderCapabilities

SMTP = ProviderCapabilities(raw_mime=True, null_reverse_path=True, smtputf8=True)
API = ProviderCapabilities(max_attachments=1, max_attachment_octets=2000)
RICH = replace(API, inline_parts=True, calendar=True, reply_to=True, passed_header_fields=True)
NO_FILES = replace(API, max_attachments=0)
LARGEST = 10_000
ALWAYS = Condition()
CAPABILITIES = {
    "smtp": SMTP,
    "api": API,
    "rich": RICH,
    "no files": NO_FILES,
    "small": replace(SMTP, max_message_octets=5000),
    "smaller": replace(SMTP, max_message_octets=4000),
}


def of(
    *providers: str, fidelity: Fidelity = Fidelity.FAITHFUL, condition: Condition = ALWAYS
) -> Carriage:
    route = Route("r", providers, condition, fidelity=fidelity)
    return carriage(route, CAPABILITIES, LARGEST)


@pytest.mark.parametrize("fidelity", Fidelity)
def test_a_smarthost_carries_all(fidelity: Fidelity) -> None:
    """Octet for octet, so that there is nothing to warn of; one of a route is enough."""
    assert of("api", "smtp", fidelity=fidelity).refused == ()
    assert of("smtp", fidelity=fidelity) == Carriage({})


def test_kinds_that_no_provider_takes() -> None:
    """What one of them takes is no gap."""
    assert of("api").refused == (
        "several files",
        "inline images",
        "invitations",
        "signed or encrypted letters",
        "Reply-To",
        "addresses beyond ASCII",
        "letters from <>",
    )
    assert set(of("api").refused) - set(of("api", "rich").refused) == {
        "inline images",
        "invitations",
        "Reply-To",
    }
    assert of("api").unable == {}


def test_a_tolerant_route_refuses_little() -> None:
    """Only what no hand-over is possible without."""
    refused = of("api", fidelity=Fidelity.TOLERANT).refused
    assert refused == ("signed or encrypted letters", "addresses beyond ASCII")


def test_a_strict_route_by_an_api_carries_nothing() -> None:
    """Date, Message-ID and our Received are in every letter, and the API writes its own."""
    found = of("api", "no files", fidelity=Fidelity.STRICT)
    assert set(found.unable) == {"api", "no files"}
    assert "header field date" in found.unable["api"]
    assert found.refused == ()
    assert set(of("api", "smtp", fidelity=Fidelity.STRICT).unable) == {"api"}


@pytest.mark.parametrize("there", [True, False])
def test_letters_that_do_not_come_are_no_gap(there: bool) -> None:
    """A route for letters with files has only such, and one for those without has none."""
    found = of("no files", condition=Condition(has_attachments=there))
    assert ("no files" in found.unable) == there
    assert not {"files", "several files"} & set(found.refused)


@pytest.mark.parametrize(
    "condition",
    [Condition(senders=frozenset({"a@x.example"})), Condition(sender_domains=frozenset({"x"}))],
)
def test_letters_of_senders_are_from_somebody(condition: Condition) -> None:
    """The null reverse-path does not come there."""
    assert "letters from <>" not in of("api", condition=condition).refused


def test_limits_below_what_comes_in() -> None:
    """Told where everybody has one, and then the highest."""
    assert of("small", "smaller").max_octets == 5000
    assert of("small", "smtp").max_octets is None
    assert of("api").max_octets is None
    assert of("api").max_file_octets == 2000
    assert of("api", "smtp").max_file_octets is None
    assert of("api", condition=Condition(has_attachments=False)).max_file_octets is None
    assert of("no files").max_file_octets is None
    assert carriage(Route("r", ("small",)), CAPABILITIES, 5000).max_octets is None
    assert carriage(Route("r", ("api",)), CAPABILITIES, 2700).max_file_octets is None


def test_large_letters_alone() -> None:
    """A provider that takes only what is smaller gets none of them."""
    found = of("smaller", "small", condition=Condition(size_over=4500))
    assert set(found.unable) == {"smaller"}
    assert found.max_octets == 5000


def test_kinds_are_told_apart() -> None:
    """Each asks for something of its own."""
    assert len(set(KINDS.values())) == len(KINDS)

"""The way of a letter told beforehand: as the front door would decide, with every reason."""

from __future__ import annotations

import pytest

from gateway.app.explaining import Explanation, Standing, envelope_from, explain
from gateway.config import Settings
from gateway.domain.repair import Repair
from providers.contract.address import parse_address
from providers.contract.capabilities import Part
from tests.support import letter_files

PROVIDERS = {
    "main": {"kind": "smarthost", "host": "smtp.example.com", "tls": "off"},
    "rest": {"kind": "rest_v1", "base_url": "https://a.example.com/v1", "api_key": "dummy"},
    "bulk": {"kind": "form_v2", "base_url": "https://b.example.com/v2", "token": "dummy"},
}
NEWS = {"name": "news", "when": {"sender_domain": ["news.example.com"]}, "providers": ["bulk"]}
OTHERS = {"name": "others", "providers": ["bulk", "rest", "main"]}
PLAIN = b"From: a@example.com\r\nTo: bob@example.com\r\nSubject: x\r\n\r\nHello\r\n"


def told(
    content: bytes,
    *recipients: str,
    sender: str | None = "alice@example.com",
    routes: tuple[object, ...] = (NEWS, OTHERS),
    user: str = "",
) -> Explanation:
    settings = Settings(providers=PROVIDERS, routes=routes)
    addresses = [parse_address(text) for text in recipients or ("bob@example.com",)]
    envelope = envelope_from(None if sender is None else parse_address(sender), addresses)
    return explain(settings, content, envelope, settings.smtp.listeners[0].name, user)


def standings(explanation: Explanation) -> dict[str, Standing]:
    (recipient,) = explanation.recipients
    return {view.name: view.standing for view in recipient.providers}


def parts(explanation: Explanation, provider: str) -> set[Part]:
    (recipient,) = explanation.recipients
    (view,) = [view for view in recipient.providers if view.name == provider]
    return {shortfall.part for shortfall in view.shortfalls}


class TestChoice:
    def test_a_plain_letter(self):
        """The route's order, what each would lose, and which route came before in vain."""
        found = told(PLAIN)
        assert found.is_carried
        assert found.recipients[0].route == "others"
        assert found.recipients[0].not_taken == ("news",)
        assert standings(found) == {
            "bulk": Standing.FIRST,
            "rest": Standing.NEXT,
            "main": Standing.NEXT,
        }
        assert parts(found, "main") == set()
        assert Part.MESSAGE_ID in parts(found, "rest")

    def test_a_route_of_its_own(self):
        """The first route whose condition holds, as at the front door."""
        found = told(PLAIN, sender="x@news.example.com")
        assert (found.recipients[0].route, found.recipients[0].not_taken) == ("news", ())

    def test_equal_providers(self):
        """Nobody can tell which of them a letter will have first, but the others come later."""
        route = {"name": "all", "providers": [["rest", "main"], "bulk"]}
        assert standings(told(PLAIN, routes=(route,))) == {
            "rest": Standing.BY_WEIGHT,
            "main": Standing.BY_WEIGHT,
            "bulk": Standing.NEXT,
        }

    def test_a_signed_letter(self):
        """Both APIs are passed over, and the reason is the seal."""
        found = told(letter_files.content_of("smime-signed"))
        assert standings(found) == {
            "main": Standing.FIRST,
            "bulk": Standing.PASSED_OVER,
            "rest": Standing.PASSED_OVER,
        }
        assert parts(found, "rest") == {Part.SEAL}

    @pytest.mark.parametrize(
        ("name", "guarded"),
        [
            ("inline-image", Part.INLINE_PART),
            ("calendar-invitation", Part.CALENDAR),
            ("amp", Part.OTHER_PART),
            ("delivery-report", Part.OTHER_PART),
        ],
    )
    def test_what_a_faithful_route_guards(self, name: str, guarded: Part):
        """Nobody gets the letter who would lose what its reader would miss."""
        found = told(letter_files.content_of(name))
        assert standings(found)["rest"] is Standing.PASSED_OVER
        assert guarded in parts(found, "rest")
        assert standings(found)["main"] is Standing.FIRST

    @pytest.mark.parametrize(
        ("name", "lost"),
        [
            ("several-senders", Part.FROM),
            ("no-subject", Part.SUBJECT),
            ("long-references", Part.MESSAGE_ID),
            ("list-letter", Part.OTHER_RECIPIENTS),
        ],
    )
    def test_what_may_go_is_told(self, name: str, lost: Part):
        """A loss that the route consents to stands beside the provider that makes it."""
        found = told(letter_files.content_of(name))
        assert standings(found)["rest"] is Standing.NEXT
        assert lost in parts(found, "rest")

    def test_what_shows_only_in_the_providers_form(self):
        """A field that comes twice is lost at the platform, and is known beforehand here."""
        found = told(letter_files.content_of("repeated-fields"))
        (view,) = [v for v in found.recipients[0].providers if v.name == "rest"]
        reasons = [shortfall.reason for shortfall in view.shortfalls]
        assert any("comments stands there once more" in reason for reason in reasons)

    def test_a_route_by_user_and_header_field(self):
        """What the client logged in as and what the header says count as at the front door."""
        shop = {"name": "shop", "when": {"user": ["shop"]}, "providers": ["main"]}
        lists = {"name": "lists", "when": {"header": {"List-Id": "*"}}, "providers": ["main"]}
        routes = (shop, lists, OTHERS)
        assert told(PLAIN, routes=routes, user="shop").recipients[0].route == "shop"
        letter = letter_files.content_of("list-letter")
        found = told(letter, routes=routes)
        assert (found.recipients[0].route, found.recipients[0].not_taken) == ("lists", ("shop",))

    def test_each_recipient_has_a_way(self):
        """One letter may leave by two routes."""
        by_domain = {
            "name": "org",
            "when": {"recipient_domain": ["example.org"]},
            "providers": ["main"],
        }
        found = told(PLAIN, "a@example.org", "b@example.com", routes=(by_domain, OTHERS))
        assert [recipient.route for recipient in found.recipients] == ["org", "others"]


class TestRefusal:
    def test_nobody_can_carry_it(self):
        """The reply that the client would get, with the reason."""
        route = {"name": "apis", "providers": ["rest", "bulk"]}
        found = told(letter_files.content_of("pgp-encrypted"), routes=(route,))
        assert not found.is_carried
        assert found.recipients[0].refusal.startswith("554 5.6.3 Cannot be carried: rest: a signed")

    def test_no_route(self):
        """No condition holds."""
        found = told(PLAIN, routes=(NEWS,))
        assert found.recipients[0].refusal.startswith("554 5.4.4")
        assert found.recipients[0].not_taken == ("news",)

    def test_a_bad_instruction(self):
        """It concerns the letter as a whole."""
        found = told(b"X-Mailquay-Route: nowhere\r\n" + PLAIN)
        assert found.refusal.startswith("554 5.6.0 X-Mailquay-Route")
        assert found.recipients == ()


class TestLetter:
    def test_instructions_are_obeyed(self):
        """The named provider alone; the field itself is not part of the letter any more."""
        found = told(b"X-Mailquay-Provider: main\r\n" + PLAIN)
        assert standings(found) == {"main": Standing.FIRST}
        assert found.instructions == (("X-Mailquay-Provider", "main"),)
        assert found.needs is not None
        assert "x-mailquay-provider" not in found.needs.header_fields

    def test_what_would_be_mended(self):
        """Any line ends may come; what the front door would add is told."""
        found = told(PLAIN.replace(b"\r\n", b"\n"))
        assert Repair.DATE_MISSING in found.repairs
        assert found.needs is not None
        assert {"date", "message-id", "received"} <= found.needs.header_fields

    def test_the_null_reverse_path(self):
        """A report can leave by SMTP alone."""
        found = told(PLAIN, sender=None)
        assert standings(found)["main"] is Standing.FIRST
        assert Part.NULL_REVERSE_PATH in parts(found, "rest")

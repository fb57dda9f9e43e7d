"""The whole v1 API through a socket: every endpoint against its strict imitation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import SystemClock
from providers.contract.capabilities import Rate
from providers.rest_v1.api import RestV1Api, account, campaigns, imports, lists, messages
from providers.rest_v1.api import errors as e
from providers.rest_v1.api import recipients as r
from providers.rest_v1.api.operation import Collection
from providers.rest_v1.provider import RestV1
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.rest_v1.templates import WELCOME_ID
from tests.contract.harnesses.rest_v1 import Harness, closed_port

ORGANIZATION = {
    "name": "Example",
    "address": "Main Street 1",
    "country": "BY",
    "city": "Minsk",
    "phone": "+375000000000",
    "zip_code": "220000",
}


class FastClock(SystemClock):
    """What callers wait for is noted and not waited for: the hands jump."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return super().monotonic() + self.jumped

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "idle HTTP connections":
            await super().sleep(seconds)  # who closes them waits as well, and is nobody's caller
            return
        self.waits.append(seconds)
        self.jumped += max(seconds, 0.0)
        await super().sleep(0)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    await harness.start()
    yield harness
    await harness.stop()


@pytest.fixture
async def provider(harness: Harness) -> AsyncIterator[RestV1]:
    provider = harness.build(FastClock(), rate=Rate(5000))
    yield provider
    await provider.aclose()


@pytest.fixture
def api(provider: RestV1) -> RestV1Api:
    return provider.api


async def collected(api: RestV1Api, collection: Collection, page_size: int | None = None) -> list:
    return [item async for item in api.walk(collection, page_size=page_size)]


class TestLists:
    async def test_a_life(self, api: RestV1Api):
        """B.5: made, read, renamed, listed, removed, gone."""
        made = await api.call(lists.create_list("Clients"))
        assert made.title == "Clients"
        assert await api.call(lists.one_list(made.id)) == made
        renamed = await api.call(lists.rename_list(made.id, "Friends"))
        assert renamed == lists.RecipientList(made.id, "Friends")
        assert await collected(api, lists.all_lists()) == [renamed]
        assert await api.call(lists.delete_list(made.id)) is None
        with pytest.raises(e.NotFound):
            await api.call(lists.one_list(made.id))

    async def test_titles_are_unique(self, api: RestV1Api):
        """B.5: 422 with the field's reason."""
        await api.call(lists.create_list("Clients"))
        with pytest.raises(e.Unprocessable) as caught:
            await api.call(lists.create_list("Clients"))
        assert [reason.detail for reason in caught.value.reasons] == [
            "title has already been taken"
        ]

    async def test_parameters(self, api: RestV1Api):
        """B.6: another kind clears what was stored."""
        one = await api.call(lists.create_list("Clients"))
        city = await api.call(lists.create_parameter(one.id, "City"))
        age = await api.call(lists.create_parameter(one.id, "Age", "numeric"))
        assert [p.kind for p in (city, age)] == ["string", "numeric"]
        assert await collected(api, lists.all_parameters(one.id)) == [city, age]
        bob = await api.call(r.create_recipient(one.id, "bob@example.com", {city.id: "Minsk"}))
        assert bob.values == (r.Value(city.id, "string", "Minsk"),)
        changed = await api.call(lists.change_parameter(one.id, city.id, kind="geo"))
        assert changed == lists.Parameter(city.id, "City", "geo")
        (bob,) = await collected(api, r.all_recipients(one.id))
        assert bob.values == ()
        await api.call(lists.delete_parameter(one.id, age.id))
        assert await collected(api, lists.all_parameters(one.id)) == [changed]
        with pytest.raises(e.Unprocessable):
            await api.call(lists.create_parameter(one.id, "Odd", "colour"))


class TestRecipients:
    async def test_a_life(self, api: RestV1Api):
        """B.7: added, changed, read, found, removed."""
        one = await api.call(lists.create_list("Clients"))
        city = await api.call(lists.create_parameter(one.id, "City"))
        bob = await api.call(
            r.create_recipient(one.id, "bob+1@example.com", {city.id: "Minsk"}, unconfirmed=True)
        )
        assert bob.confirmed is False
        assert await api.call(r.one_recipient(one.id, bob.id)) == bob
        found = await collected(api, r.search("bob+1@example.com"))
        assert found == [r.Found("bob+1@example.com", (r.Membership(one.id, "Clients", bob.id),))]
        changed = await api.call(
            r.change_recipient(one.id, bob.id, email="rob@example.com", destroy=[city.id])
        )
        assert (changed.email, changed.values) == ("rob@example.com", ())
        await api.call(r.delete_recipient(one.id, bob.id))
        assert await collected(api, r.all_recipients(one.id)) == []

    async def test_nobody_twice(self, api: RestV1Api):
        """B.7: an address that is there is refused, in whatever case."""
        one = await api.call(lists.create_list("Clients"))
        await api.call(r.create_recipient(one.id, "bob@example.com"))
        with pytest.raises(e.Unprocessable, match="already been taken"):
            await api.call(r.create_recipient(one.id, "BOB@example.com"))

    async def test_the_search_finds_pieces(self, api: RestV1Api):
        """B.9: we pick the one that was meant."""
        one = await api.call(lists.create_list("Clients"))
        for email in ("bob@example.com", "rob@example.com", "bob@example.com.by"):
            await api.call(r.create_recipient(one.id, email))
        found = await collected(api, r.search("bob@example.com"))
        assert len(found) == 2
        exact = r.exactly("Bob@example.com", found)
        assert exact is not None
        assert exact.email == "bob@example.com"

    async def test_tags_of_newer_installations(self, harness: Harness, api: RestV1Api):
        """B.7: used when present."""
        harness.sandbox.dialect.extras = True
        one = await api.call(lists.create_list("Clients"))
        bob = await api.call(r.create_recipient(one.id, "bob@example.com", tags=["vip"]))
        assert (bob.list_id, bob.status, bob.tags) == (one.id, "active", ("vip",))


class TestCollections:
    @pytest.mark.parametrize("totals", ["true", "low", "high", "missing"])
    @pytest.mark.parametrize("past_end", ["empty", "last"])
    async def test_whatever_a_page_says(
        self, harness: Harness, api: RestV1Api, totals: str, past_end: str
    ):
        """D 16: each item once, all of them, whatever totals and last pages claim."""
        harness.sandbox.dialect.totals = totals
        harness.sandbox.dialect.past_end = past_end
        for n in range(6):
            await api.call(lists.create_list(f"list {n}"))
        for size in (1, 2, 3, 4, 6, 7, 100):
            found = await collected(api, lists.all_lists(), size)
            assert [one.title for one in found] == [f"list {n}" for n in range(6)]

    async def test_a_page_number_that_is_ignored(self, harness: Harness, api: RestV1Api):
        """The first page comes once, and the walk ends."""
        harness.sandbox.dialect.pages = "ignored"
        for n in range(4):
            await api.call(lists.create_list(f"list {n}"))
        assert len(await collected(api, lists.all_lists(), 2)) == 2

    async def test_smaller_pages_than_documented(self, harness: Harness, api: RestV1Api):
        """412: where recipients come by 100 only, we ask for 100."""
        harness.sandbox.dialect.largest_recipients_page = 100
        one = await api.call(lists.create_list("Clients"))
        found = harness.sandbox.lists.found[int(one.id)]
        for n in range(250):
            harness.sandbox.recipients.put(found, f"{n}@example.com", {})
        emails = [one.email for one in await collected(api, r.all_recipients(one.id))]
        assert emails == [f"{n}@example.com" for n in range(250)]

    async def test_pages_that_are_more_than_we_read(self, harness: Harness, api: RestV1Api):
        """A page of recipients with long values passes a megabyte: smaller ones bring them all."""
        one = await api.call(lists.create_list("Clients"))
        city = await api.call(lists.create_parameter(one.id, "City"))
        found = harness.sandbox.lists.found[int(one.id)]
        for n in range(900):
            values = {int(city.id): "x" * (30_000 if n in (400, 401) else 1500)}
            harness.sandbox.recipients.put(found, f"{n}@example.com", values)
        emails = [one.email for one in await collected(api, r.all_recipients(one.id))]
        assert emails == [f"{n}@example.com" for n in range(900)]
        harness.sandbox.recipients.put(found, "big@example.com", {int(city.id): "x" * (1 << 20)})
        with pytest.raises(e.AnswerTooLarge):
            await collected(api, r.all_recipients(one.id))

    async def test_too_big_a_page_is_an_error_of_its_own(self, api: RestV1Api):
        """412 where the caller makes the call himself."""
        with pytest.raises(e.PageTooBig, match="Max value is 100"):
            await api.call(lists.all_lists().page(1, 101))

    async def test_counting(self, harness: Harness, api: RestV1Api):
        """One question; nothing where the platform does not say."""
        await api.call(lists.create_list("Clients"))
        assert await api.count(lists.all_lists()) == 1
        harness.sandbox.dialect.totals = "missing"
        assert await api.count(lists.all_lists()) is None


class TestImports:
    async def test_parts(self, harness: Harness, api: RestV1Api):
        """B.8: cut, queued part by part, carried out by the platform later."""
        one = await api.call(lists.create_list("Clients"))
        city = await api.call(lists.create_parameter(one.id, "City"))
        rows = (imports.Row(f"{n}@example.com", {city.id: str(n)}) for n in range(25))
        parts = [
            part async for part in api.import_recipients(one.id, rows, tags=["new"], part_size=10)
        ]
        assert [part.count for part in parts] == [10, 10, 5]
        assert {part.queued.status for part in parts} == {"queued"}
        assert len({part.queued.id for part in parts}) == 3
        assert parts[-1].last_email == "24@example.com"
        assert await api.count(r.all_recipients(one.id)) == 0
        while harness.sandbox.advance():
            pass
        found = await collected(api, r.all_recipients(one.id))
        assert [(one.email, one.values[0].value) for one in found] == [
            (f"{n}@example.com", str(n)) for n in range(25)
        ]

    async def test_how_it_stands(self, harness: Harness, api: RestV1Api):
        """The method that the ids are said to be for, where an installation has it."""
        one = await api.call(lists.create_list("Clients"))
        started = await api.call(imports.start_import(one.id, [imports.Row("a@example.com")]))
        with pytest.raises(e.NotAvailable):
            await api.call(imports.import_status(one.id, started.id))
        harness.sandbox.dialect.extras = True
        assert not (await api.call(imports.import_status(one.id, started.id))).over
        while harness.sandbox.advance():
            pass
        assert (await api.call(imports.import_status(one.id, started.id))).over

    async def test_a_part_that_fails(self, harness: Harness, api: RestV1Api):
        """Those before it are queued, and the error tells whether it may be, too."""
        one = await api.call(lists.create_list("Clients"))
        rows = [imports.Row(f"{n}@example.com") for n in range(3)]
        parts = api.import_recipients(one.id, rows, part_size=1)
        assert (await anext(parts)).count == 1
        harness.faults.add(Fault(FaultKind.DROP_AFTER))
        with pytest.raises(e.AnswerLost) as caught:
            await anext(parts)
        assert caught.value.done
        assert len(harness.sandbox.imports.found) == 2


class TestAccount:
    async def test_organizations(self, api: RestV1Api):
        """B.10: the first becomes the default, another takes its place, none is left."""
        with pytest.raises(e.NotFound):
            await api.call(account.current_organization())
        first = await api.call(account.create_organization(**ORGANIZATION))
        second = await api.call(account.create_organization(**ORGANIZATION | {"name": "Other"}))
        assert (first.current, second.current) == (True, False)
        assert (first.zip, first.phone) == ("220000", "+375000000000")
        await api.call(account.make_organization_current(second.id))
        assert (await api.call(account.current_organization())).id == second.id
        changed = await api.call(account.change_organization(first.id, city="Brest"))
        assert (changed.city, changed.current) == ("Brest", False)
        assert len(await collected(api, account.all_organizations())) == 2
        await api.call(account.delete_organization(second.id))
        with pytest.raises(e.NotFound):
            await api.call(account.one_organization(second.id))

    async def test_balance(self, harness: Harness, api: RestV1Api):
        """B.13: not available on the platform of the seed, a value on newer ones."""
        with pytest.raises(e.NotAvailable):
            await api.call(account.balance())
        harness.sandbox.balance = 100
        harness.sandbox.campaigns.credits = 7
        found = await api.call(account.balance())
        assert (found.balance, found.credits, found.subscribers_total) == ("100", 7, 0)

    @pytest.mark.parametrize("webhooks", ["replace", "add"])
    @pytest.mark.parametrize("unset", ["404", "null"])
    async def test_the_webhook(self, harness: Harness, api: RestV1Api, webhooks: str, unset: str):
        """D 20: removed, set and looked at; in the end there is one, however the platform works."""
        harness.sandbox.dialect.webhooks = webhooks
        harness.sandbox.dialect.unset_webhook = unset
        assert await api.webhook() == ""
        for name in ("a", "b"):
            await api.call(account.set_webhook(f"http://127.0.0.1:1/{name}"))
        assert await api.replace_webhook("http://127.0.0.1:1/c") == "http://127.0.0.1:1/c"
        assert harness.sandbox.hooks.urls == ["http://127.0.0.1:1/c"]
        assert await api.remove_webhook() == ("http://127.0.0.1:1/c",)
        assert await api.webhook() == ""

    async def test_several_webhooks(self, harness: Harness, api: RestV1Api):
        """B.13: titles, kinds and events, and what can be asked for."""
        with pytest.raises(e.NotAvailable):
            await collected(api, account.all_webhooks())
        harness.sandbox.dialect.extras = True
        events = await api.call(account.webhook_events())
        assert "delivered" in events
        assert await api.call(account.webhook_kinds())
        url = "http://127.0.0.1:1/a"
        made = await api.call(account.create_webhook("mine", url, events=["delivered"]))
        assert (made.events, made.status) == (("delivered",), "active")
        changed = await api.call(account.change_webhook(made.id, title="ours"))
        assert await api.call(account.one_webhook(made.id)) == changed
        assert await collected(api, account.all_webhooks()) == [changed]
        await api.call(account.delete_webhook(made.id))
        assert await collected(api, account.all_webhooks()) == []


class TestMessages:
    async def test_a_letter_and_its_status(self, harness: Harness, api: RestV1Api):
        """B.3: sent, read again, and on its way."""
        sent = await api.call(
            messages.send(
                from_email="news@example.com",
                to="bob@example.org",
                subject="Order 77",
                text="Thank you",
                payment="credit",
                smtp_headers={"Reply-To": "help@example.com"},
                files=[messages.File("счёт.pdf", b"%PDF", "application/pdf")],
            )
        )
        assert (sent.status, sent.attachments) == ("queued", ("счёт.pdf",))
        (letter,) = harness.letterbox.letters
        assert letter.header_fields == {"Reply-To": "help@example.com"}
        assert letter.parameters == {"payment": "credit"}
        harness.sandbox.advance()
        harness.sandbox.advance()
        harness.sandbox.messages.happen(int(sent.id), "opened")
        harness.sandbox.messages.happen(int(sent.id), "clicked", "https://shop.example.com/a")
        found = await api.call(messages.message(sent.id))
        assert (found.status, found.events.opened) == ("delivered", 1)
        assert found.events.redirect == {"https://shop.example.com/a": 1}

    async def test_a_template(self, harness: Harness, api: RestV1Api):
        """B.4: filled in, what is missing left empty."""
        sent = await api.call(
            messages.send_template(str(WELCOME_ID), "bob@example.org", {"name": "Bob"})
        )
        assert (sent.subject, sent.text) == ("Hello Bob", "Hi Bob, your code is ")
        with pytest.raises(e.NotFound):
            await api.call(messages.send_template("999", "bob@example.org"))

    async def test_templates_of_newer_installations(self, harness: Harness, api: RestV1Api):
        """B.13: listed, made, read and submitted."""
        with pytest.raises(e.NotAvailable):
            await collected(api, messages.all_templates())
        harness.sandbox.dialect.extras = True
        (welcome,) = await collected(api, messages.all_templates())
        assert welcome.preset_params == ("name", "code")
        made = await api.call(
            messages.create_template(
                name="Code", from_email="a@example.com", subject="[%code%]", html="<p>x</p>"
            )
        )
        assert (made.state, made.preset_params) == ("draft", ("code",))
        assert (await api.call(messages.submit_template(made.id))).state == "pending"
        assert (await api.call(messages.one_template(made.id))).name == "Code"


class TestCampaigns:
    async def test_a_life(self, harness: Harness, api: RestV1Api):
        """B.11: a draft sends nothing; delivered, it reaches every confirmed recipient once."""
        one, other = [await api.call(lists.create_list(title)) for title in ("a", "b")]
        await api.call(r.create_recipient(one.id, "bob@example.com"))
        await api.call(r.create_recipient(other.id, "bob@example.com"))
        await api.call(r.create_recipient(other.id, "eve@example.com", unconfirmed=True))
        draft = await api.call(
            campaigns.create_campaign(
                from_email="news@example.com",
                subject="News",
                html="<p>Hi</p>",
                list_ids=[one.id, other.id],
                files=[messages.File("a.pdf", b"%PDF")],
            )
        )
        assert (draft.state, draft.recipients_count, draft.purchase.enable) == ("draft", 1, True)
        assert harness.letterbox.letters == []
        assert (await api.call(campaigns.deliver_campaign(draft.id))).state == "sending"
        with pytest.raises(e.Unprocessable):
            await api.call(campaigns.deliver_campaign(draft.id))
        harness.sandbox.advance()
        found = await api.call(campaigns.one_campaign(draft.id))
        assert (found.state, found.statistics.delivered) == ("completed", 1)
        (letter,) = harness.letterbox.letters
        assert (letter.recipient, letter.attachments[0].filename) == ("bob@example.com", "a.pdf")

    async def test_several_lists_with_files(self, harness: Harness, api: RestV1Api):
        """A form names every list, not the last alone."""
        made = [await api.call(lists.create_list(title)) for title in ("a", "b", "c")]
        draft = await api.call(
            campaigns.create_campaign(
                from_email="news@example.com",
                subject="News",
                text="Hi",
                list_ids=[one.id for one in made],
                files=[messages.File("a.pdf", b"%PDF")],
            )
        )
        stored = harness.sandbox.campaigns.found[int(draft.id)].list_ids
        assert stored == tuple(int(one.id) for one in made)

    async def test_no_funds(self, harness: Harness, api: RestV1Api):
        """402, and what is missing stands in the campaign."""
        harness.sandbox.campaigns.credits = 0
        one = await api.call(lists.create_list("a"))
        await api.call(r.create_recipient(one.id, "bob@example.com"))
        draft = await api.call(
            campaigns.create_campaign(
                from_email="news@example.com", subject="News", text="Hi", list_ids=[one.id]
            )
        )
        assert (draft.purchase.enable, draft.purchase.deficit) == (False, 1)
        with pytest.raises(e.NotEnoughFunds):
            await api.call(campaigns.deliver_campaign(draft.id))

    async def test_extras(self, harness: Harness, api: RestV1Api):
        """B.13: listed, scheduled, segments."""
        harness.sandbox.dialect.extras = True
        one = await api.call(lists.create_list("a"))
        draft = await api.call(
            campaigns.create_campaign(
                from_email="news@example.com", subject="News", text="Hi", list_ids=[one.id]
            )
        )
        start = datetime(2026, 3, 8, 9, 5, tzinfo=UTC)
        later = await api.call(campaigns.schedule_campaign(draft.id, start, "Moscow"))
        assert (later.state, later.start_at) == ("delayed", "08.03.2026 09:05")
        assert [one.id for one in await collected(api, campaigns.all_campaigns())] == [draft.id]
        assert [s.title for s in await collected(api, campaigns.all_segments())] == ["Readers"]


class TestTrouble:
    @pytest.mark.parametrize("style", ["header", "text"])
    async def test_a_throttled_call_is_made_again(
        self, harness: Harness, provider: RestV1, style: str
    ):
        """D 13: after the wait that the platform names, and the account's pace keeps it, too."""
        harness.faults.add(Fault(FaultKind.THROTTLE, retry_after_s=7, style=style, times=2))
        made = await provider.api.call(lists.create_list("Clients"))
        assert made.title == "Clients"
        assert [round(wait) for wait in clock_of(provider).waits if wait > 1] == [7, 7]
        assert len(harness.sandbox.lists.found) == 1

    async def test_a_throttle_that_names_no_wait(self, harness: Harness, provider: RestV1):
        """D 13: longer each time, from a second on."""
        harness.faults.add(Fault(FaultKind.THROTTLE, style="none", times=4))
        await provider.api.call(lists.create_list("Clients"))
        waits = [round(wait) for wait in clock_of(provider).waits if wait > 0.5]
        assert waits == [1, 2, 4, 8]

    async def test_patience_has_an_end(self, harness: Harness, provider: RestV1):
        """A limit that never ends is told, as what it is."""
        harness.faults.add(Fault(FaultKind.THROTTLE, retry_after_s=200, times=None))
        with pytest.raises(e.Throttled) as caught:
            await provider.api.call(lists.create_list("Clients"))
        assert caught.value.retry_after == timedelta(seconds=200)
        assert harness.letterbox.calls == {"rest_v1": 2}

    async def test_the_pace_is_the_accounts(self, harness: Harness):
        """B.1: calls that are not GET take places of the one pace; questions take none."""
        provider = harness.build(FastClock(), rate=Rate(1, timedelta(minutes=1)))
        await provider.api.call(lists.create_list("a"))
        for _ in range(20):
            await provider.api.call(account_free())
        clock = clock_of(provider)
        assert clock.waits == []
        await provider.api.call(lists.create_list("b"))
        assert 59 < sum(clock.waits) <= 60
        assert provider.pace.take(clock.monotonic()) > 59
        await provider.aclose()

    async def test_two_processes_with_one_key(self, harness: Harness):
        """B.1: each has a pace of its own; the platform's 429 holds both, and nothing is lost."""
        clock = FastClock()
        harness.sandbox.limit(Rate(5), clock.monotonic)
        both = [harness.build(clock) for _ in range(2)]
        titles = [f"{n} {at}" for n in range(10) for at in range(2)]
        for n, title in enumerate(titles):
            await both[n % 2].api.call(lists.create_list(title))
        assert [one.title for one in harness.sandbox.lists.found.values()] == titles
        assert harness.letterbox.calls["rest_v1"] > len(titles)
        for provider in both:
            await provider.aclose()

    @pytest.mark.parametrize(
        ("fault", "kind", "done"),
        [
            (Fault(FaultKind.UNAUTHORISED), e.Unauthorised, False),
            (Fault(FaultKind.UNAUTHORISED, style="403"), e.Unauthorised, False),
            (Fault(FaultKind.UNAUTHORISED, style="402"), e.NotEnoughFunds, False),
            (Fault(FaultKind.REFUSE), e.Unprocessable, False),
            (Fault(FaultKind.REFUSE, style="400"), e.BadRequest, False),
            (Fault(FaultKind.ERROR), e.ServerTrouble, True),
            (Fault(FaultKind.DEFER), e.ServerTrouble, True),
            (Fault(FaultKind.GARBAGE), e.ServerTrouble, True),
            (Fault(FaultKind.GARBAGE, style="list"), e.ServerTrouble, True),
            (Fault(FaultKind.GARBAGE, style="empty"), e.ServerTrouble, True),
            (Fault(FaultKind.GARBAGE, style="errors"), e.Unprocessable, False),
            (Fault(FaultKind.DROP_BEFORE), e.AnswerLost, True),
            (Fault(FaultKind.DROP_AFTER), e.AnswerLost, True),
        ],
        ids=lambda value: f"{value.kind} {value.style}" if isinstance(value, Fault) else "",
    )
    async def test_faults(
        self,
        harness: Harness,
        api: RestV1Api,
        fault: Fault,
        kind: type[e.RestV1Error],
        done: bool,
    ):
        """Each is told as what it is, once, and never repeated in the dark (D 7, D 9)."""
        harness.faults.add(replace(fault))
        with pytest.raises(kind) as caught:
            await api.call(lists.create_list("Clients"))
        assert caught.value.done is done
        assert harness.letterbox.calls == {"rest_v1": 1}

    @pytest.mark.parametrize("shape", ["errors", "message", "error", "text", "html", "empty"])
    async def test_dresses_of_errors(self, harness: Harness, api: RestV1Api, shape: str):
        """D 15: the status decides in every one of them."""
        harness.sandbox.dialect.errors = shape
        with pytest.raises(e.NotFound):
            await api.call(lists.one_list("404"))

    async def test_ids_as_strings(self, harness: Harness, api: RestV1Api):
        """D 10: an installation that writes ids as strings is the same to us."""
        harness.sandbox.dialect.ids = "string"
        one = await api.call(lists.create_list("Clients"))
        city = await api.call(lists.create_parameter(one.id, "City"))
        bob = await api.call(r.create_recipient(one.id, "bob@example.com", {city.id: "Minsk"}))
        assert bob.values[0].parameter_id == city.id
        assert await api.call(lists.one_list(one.id)) == one

    async def test_nobody_there(self, harness: Harness):
        """Told as not reached: nothing was done."""
        base_url = f"http://127.0.0.1:{closed_port()}/v1"
        provider = harness.build(SystemClock(), base_url=base_url)
        with pytest.raises(e.NotReached):
            await provider.api.call(lists.create_list("Clients"))
        await provider.aclose()

    async def test_the_reserve(self, harness: Harness):
        """D 8: only where no connection to the main host can be made."""
        reserve = f"http://127.0.0.1:{harness.listener.port}/v1"
        base_url = f"http://127.0.0.1:{closed_port()}/v1"
        provider = harness.build(SystemClock(), base_url=base_url, reserve_url=reserve)
        assert (await provider.api.call(lists.create_list("Clients"))).id
        await provider.aclose()
        main = Harness()
        await main.start()
        provider = main.build(SystemClock(), reserve_url=reserve)
        main.faults.add(Fault(FaultKind.DROP_BEFORE))
        with pytest.raises(e.AnswerLost):
            await provider.api.call(lists.create_list("Others"))
        assert [one.title for one in harness.sandbox.lists.found.values()] == ["Clients"]
        await provider.aclose()
        await main.stop()


def account_free() -> object:
    """A question, which costs nothing."""
    return lists.all_lists().page(1, 1)


def clock_of(provider: RestV1) -> FastClock:
    clock = provider._clock
    assert isinstance(clock, FastClock)
    return clock

"""The imitated v2 account: batches, lists, unsubscriptions, and statuses that advance."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from providers.sandbox.faults import FaultKind
from providers.sandbox.form_v2 import UNSUBSCRIBED
from providers.sandbox.form_v2_answers import BAD_ADDRESS, Quirk, parse_quirk
from providers.sandbox.form_v2_fields import MAX_INPUT_VARS, php_fields
from tests.emulators.v2_api import LETTER, LIST_ID, TOKEN, V2Api, error, v2_api

PERSONAL = {
    "token": TOKEN,
    "sender_email": "news@example.com",
    "message_type": "personal",
    "delivery_list[0][email]": "bob@example.org",
    "delivery_list[0][subject]": "Hi Bob",
    "delivery_list[0][message]": "<p>1</p>",
    "delivery_list[1][email]": "eve@example.org",
    "delivery_list[1][subject]": "Hi Eve",
    "delivery_list[1][message]": "<p>2</p>",
}


@pytest.fixture
async def api() -> AsyncIterator[V2Api]:
    async with v2_api() as api:
        yield api


class TestPhp:
    @pytest.mark.parametrize(
        ("pairs", "fields"),
        [
            ([("a", "1"), ("a", "2")], {"a": "2"}),
            ([("a[]", "1"), ("a[]", "2")], {"a": {"0": "1", "1": "2"}}),
            ([("a[3]", "1"), ("a[]", "2")], {"a": {"3": "1", "4": "2"}}),
            ([("a[0][b]", "1"), ("a[0][c]", "2")], {"a": {"0": {"b": "1", "c": "2"}}}),
            ([("a", "1"), ("a[b]", "2")], {"a": {"b": "2"}}),
            ([("a[b", "1"), ("[a]", "2")], {"a[b": "1", "[a]": "2"}),
        ],
    )
    def test_brackets_make_arrays(
        self, pairs: list[tuple[str, str]], fields: dict[str, object]
    ) -> None:
        """As PHP fills $_POST; later ones take the place of earlier ones."""
        assert php_fields(pairs) == fields

    def test_fields_beyond_the_limit_vanish(self) -> None:
        """C.5: max_input_vars drops them without a word."""
        assert len(php_fields((f"a{n}", "") for n in range(MAX_INPUT_VARS + 5))) == MAX_INPUT_VARS


class TestBulk:
    async def test_the_same_letter_to_many(self, api: V2Api):
        """C.5: one uuid; a letter for each address, with the batch's name."""
        await api.bulk("bob@example.org", "eve@example.org", name="Batch 1")
        assert [x.recipient for x in api.letters] == ["bob@example.org", "eve@example.org"]
        assert {x.subject for x in api.letters} == {"Order 77"}
        assert api.letters[0].parameters["name"] == "Batch 1"

    async def test_letters_of_their_own(self, api: V2Api):
        """C.5, personal: subject and message of each entry."""
        response = await api.call("sendBulkEmail", data=PERSONAL)
        assert response.status_code == 200
        assert [(x.recipient, x.subject, x.html) for x in api.letters] == [
            ("bob@example.org", "Hi Bob", "<p>1</p>"),
            ("eve@example.org", "Hi Eve", "<p>2</p>"),
        ]

    @pytest.mark.parametrize(
        "change",
        [
            {"message_type": "mass"},
            {"message_type": "bulk"},
            {"sender_email": "news"},
            {"track_open": "yes"},
            {"d_schedule": "2020-01-01 10:00"},
            {"token": "wrong"},
            {"subject[0]": "an array"},
        ],
    )
    async def test_wrong_calls(self, api: V2Api, change: dict[str, str]):
        """Nothing of them is sent; a moment that has passed is no moment."""
        response = await api.call("sendBulkEmail", data=PERSONAL | change)
        assert response.status_code == (401 if "token" in change else 400)
        assert api.letters == []

    async def test_nobody_to_send_to(self, api: V2Api):
        """C.5: in practice the list is demanded, and fits its type."""
        letter = LETTER | {"message_type": "bulk"}
        for entries in ({}, {"delivery_list": "bob@example.org"}):
            response = await api.call("sendBulkEmail", data=letter | entries)
            assert error(response) in (
                "The delivery_list field is required",
                "The delivery_list must be a string",
            )
        personal = letter | {"message_type": "personal", "delivery_list[0]": "bob@example.org"}
        assert (await api.call("sendBulkEmail", data=personal)).status_code == 400

    async def test_too_many_fields_lose_the_last_letters(self, api: V2Api):
        """D 30: PHP drops them silently; the one cut in two shows as an error."""
        fields = {k: v for k, v in PERSONAL.items() if "[" not in k}
        for n in range(340):
            fields[f"delivery_list[{n}][email]"] = f"u{n}@example.org"
            fields[f"delivery_list[{n}][subject]"] = "Hi"
            fields[f"delivery_list[{n}][message]"] = "Hi"
        result = await api.ask("sendBulkEmail", **fields)
        assert len(api.letters) == 332
        ((mailing),) = await api.report(result["uuid"])
        assert mailing["errors"] == [
            {"email": "u332@example.org", "error": "The subject field is required"}
        ]

    async def test_wrong_addresses_show_later(self, api: V2Api):
        """C.5: an OK means that the batch was taken."""
        uuid = await api.bulk("bob@example.org", "nobody@example", "rubbish")
        ((mailing),) = await api.report(uuid)
        assert [entry["recipient"] for entry in mailing["success"]] == ["bob@example.org"]
        assert mailing["errors"] == [
            {"email": "nobody@example", "error": BAD_ADDRESS},
            {"email": "rubbish", "error": BAD_ADDRESS},
        ]
        assert len(api.letters) == 1


class TestStatuses:
    async def test_shape(self, api: V2Api):
        """C.6: a list of mailings, ids as text, no error as null."""
        ((mailing),) = await api.report(await api.bulk("bob@example.org", name="Batch 1"))
        (entry,) = mailing["success"]
        assert (mailing["name"], mailing["sender_email"]) == ("Batch 1", "news@example.com")
        assert isinstance(mailing["message_id"], str)
        assert entry == {
            "email_id": api.letters[0].provider_message_id,
            "recipient": "bob@example.org",
            "status": "NEW",
            "error": None,
        }

    async def test_advance_with_time(self, api: V2Api):
        """NEW, SENT, DELIVERED, each at its moment; before them nothing while the batch waits."""
        api.sandbox.account.queued_s = 5
        uuid = await api.bulk("bob@example.org")
        assert await api.report(uuid) == []
        seen = []
        for seconds in (5, 1, 2):
            api.clock.time += seconds
            ((mailing),) = await api.report(uuid)
            seen.append(mailing["success"][0]["status"])
        assert seen == ["NEW", "SENT", "DELIVERED"]

    async def test_a_scheduled_batch_waits(self, api: V2Api):
        """Nothing is told before its time."""
        uuid = await api.bulk("bob@example.org", d_schedule="2126-01-31 09:30")
        assert await api.report(uuid) == []

    async def test_set_by_hand(self, api: V2Api):
        """Any word, through the control interface; it stays then."""
        uuid = await api.bulk("bob@example.org")
        change = {"recipient": "BOB@example.org", "status": "OPEN"}
        response = await api.client.post("/_sandbox/v2/statuses", json=change)
        assert response.json() == {"letters": 1}
        api.clock.time += 100
        ((mailing),) = await api.report(uuid)
        assert mailing["success"][0]["status"] == "OPEN"
        change["recipient"] = "stranger@example.org"
        assert (await api.client.post("/_sandbox/v2/statuses", json=change)).status_code == 404

    @pytest.mark.parametrize("style", ["", "undelivered"])
    async def test_one_recipient_fails(self, api: V2Api, style: str):
        """A fault for an address of a batch leaves the others alone."""
        api.strike(FaultKind.REFUSE, recipient="eve@", style=style)
        ((mailing),) = await api.report(await api.bulk("bob@example.org", "eve@example.org"))
        statuses = {x["recipient"]: (x["status"], x["error"]) for x in mailing["success"]}
        assert statuses["bob@example.org"] == ("NEW", None)
        if style:
            assert statuses["eve@example.org"] == ("UNDELIVERED", "Mailbox unavailable")
        else:
            assert mailing["errors"] == [{"email": "eve@example.org", "error": BAD_ADDRESS}]

    async def test_unknown(self, api: V2Api):
        """C.6, C.4: ids that nobody gave."""
        for method, field in (("statusBulkEmail", "uuid"), ("getEmailDeliveryList", "message_id")):
            response = await api.call(method, data={"token": TOKEN, field: "99999"})
            assert response.status_code == 400
        response = await api.call("statusBulkEmail", data={"token": TOKEN})
        assert error(response) == "The uuid field is required"

    async def test_a_fault_of_one_method(self, api: V2Api):
        """What strikes the question leaves the sending alone."""
        api.strike(FaultKind.ERROR, method="statusBulkEmail")
        uuid = await api.bulk("bob@example.org")
        call = {"data": {"token": TOKEN, "uuid": uuid}}
        assert (await api.call("statusBulkEmail", **call)).status_code == 500
        assert (await api.call("statusBulkEmail", **call)).status_code == 200


class TestLists:
    async def test_to_a_list(self, api: V2Api):
        """C.3: everybody on it, and the mailing's id as a number; C.4: asked for by that id."""
        letter = {k: v for k, v in LETTER.items() if k not in ("email", "token")}
        result = await api.ask("sendEmailByList", list_id=str(LIST_ID), **letter)
        assert result["count_emails"] == len(api.letters) == 2
        assert isinstance(result["message_id"], int)
        listed = await api.ask("getEmailDeliveryList", message_id=str(result["message_id"]))
        assert [(x["email"], x["status"], x["error"]) for x in listed] == [
            ("bob@example.org", "NEW", ""),
            ("eve@example.org", "NEW", ""),
        ]

    @pytest.mark.parametrize("list_id", ["", "x", "8", "٧"])
    async def test_no_such_list(self, api: V2Api, list_id: str):
        """A number that the account has."""
        response = await api.call("sendEmailByList", data=LETTER | {"list_id": list_id})
        assert response.status_code == 400
        assert api.letters == []

    async def test_filled_from_outside(self, api: V2Api):
        """The control interface writes lists; the service has no method for that."""
        body = {"emails": ["dave@example.org"]}
        response = await api.client.put("/_sandbox/v2/lists/9", json=body)
        assert response.status_code == 204
        response = await api.call("sendEmailByList", data=LETTER | {"list_id": "9"})
        assert response.json()["result"]["count_emails"] == 1

    async def test_unsubscribed(self, api: V2Api):
        """C.8, C.9: of one list or all; either call may be repeated."""
        fields = {"email": "bob@example.org", "list_ids": str(LIST_ID), "reason": "asked"}
        for _ in range(2):
            assert await api.ask("unsubscribeEmail", **fields) is None
        letter = {k: v for k, v in LETTER.items() if k not in ("email", "token")}
        result = await api.ask("sendEmailByList", list_id=str(LIST_ID), **letter)
        assert result["count_emails"] == 1
        await api.ask("unsubscribeEmail", email="bob@example.org")
        ((mailing),) = await api.report(await api.bulk("bob@example.org"))
        assert mailing["errors"] == [{"email": "bob@example.org", "error": UNSUBSCRIBED}]
        for _ in range(2):
            await api.ask("subscribeEmail", email="bob@example.org")
        ((mailing),) = await api.report(await api.bulk("bob@example.org"))
        assert mailing["errors"] == []

    async def test_subscribed_to_one_list_again(self, api: V2Api):
        """Lifting one list leaves the others unsubscribed."""
        api.sandbox.account.lists[8] = []
        await api.ask("unsubscribeEmail", email="bob@example.org")
        await api.ask("subscribeEmail", email="bob@example.org", list_ids=str(LIST_ID))
        assert not api.sandbox.account.is_unsubscribed("bob@example.org", LIST_ID)
        assert api.sandbox.account.is_unsubscribed("bob@example.org", 8)

    @pytest.mark.parametrize(
        "fields", [{}, {"email": "bob"}, {"email": "b@a.org", "list_ids": "8"}]
    )
    async def test_wrong_subscriptions(self, api: V2Api, fields: dict[str, str]):
        """An address, and lists that there are."""
        for method in ("unsubscribeEmail", "subscribeEmail"):
            response = await api.call(method, data={"token": TOKEN, **fields})
            assert response.status_code == 400


class TestQuirks:
    def test_words_of_the_command_line(self) -> None:
        """By name; a misspelt one is told."""
        assert {parse_quirk(quirk) for quirk in Quirk} == set(Quirk)
        with pytest.raises(ValueError, match="a quirk is one of token_in_form, "):
            parse_quirk("purple")

    async def test_ids_in_the_other_type(self, api: V2Api):
        """D 26."""
        api.sandbox.quirks.add(Quirk.SWAPPED_IDS)
        assert isinstance((await api.send()).json()["result"]["email_id"], str)
        ((mailing),) = await api.report(await api.bulk("bob@example.org"))
        assert isinstance(mailing["success"][0]["email_id"], int)

    async def test_addresses_come_back_changed(self, api: V2Api):
        """D 27."""
        api.sandbox.quirks.add(Quirk.CHANGED_ADDRESSES)
        ((mailing),) = await api.report(await api.bulk("bob@example.org", "no@example"))
        assert mailing["success"][0]["recipient"] == " BOB@EXAMPLE.ORG "
        assert mailing["errors"][0]["email"] == " NO@EXAMPLE "

    async def test_statuses_nobody_published(self, api: V2Api):
        """D 31."""
        api.sandbox.quirks.add(Quirk.UNKNOWN_STATUSES)
        ((mailing),) = await api.report(await api.bulk("bob@example.org"))
        assert mailing["success"][0]["status"] == "PROCESSED_7"

    async def test_a_recipient_is_missing(self, api: V2Api):
        """D 32."""
        api.sandbox.quirks.add(Quirk.MISSING_RECIPIENTS)
        ((mailing),) = await api.report(await api.bulk("bob@example.org", "eve@example.org"))
        assert [x["recipient"] for x in mailing["success"]] == ["bob@example.org"]

    async def test_no_error_at_all(self, api: V2Api):
        """D 36."""
        api.sandbox.quirks.add(Quirk.NO_ERROR_KEY)
        ((mailing),) = await api.report(await api.bulk("bob@example.org"))
        assert "error" not in mailing["success"][0]

    async def test_several_mailings(self, api: V2Api):
        """C.6: one batch, two mailings."""
        api.sandbox.quirks.add(Quirk.SEVERAL_MAILINGS)
        mailings = await api.report(await api.bulk("a@example.org", "b@example.org", "c@b.org"))
        assert [len(mailing["success"]) for mailing in mailings] == [2, 1]

    async def test_success_without_a_result(self, api: V2Api):
        """An OK that says nothing."""
        api.sandbox.quirks.add(Quirk.NO_RESULT)
        assert (await api.send()).json() == {"status": "OK"}
        assert len(api.letters) == 1

    async def test_from_outside(self, api: V2Api):
        """The control interface sets them and shows all that the account remembers."""
        quirks = {"quirks": ["lower_case_ok", "lists_as_objects"]}
        assert (await api.client.put("/_sandbox/v2/quirks", json=quirks)).status_code == 204
        response = await api.call("getEmailTemplates", params={"token": TOKEN})
        assert response.json() == {"status": "ok", "result": {"1": {"id": 11, "title": "Welcome"}}}
        shown = (await api.client.get("/_sandbox/v2/")).json()
        assert shown["quirks"] == sorted(quirks["quirks"])
        assert shown["methods"] == {"getEmailTemplates": 1}

    async def test_pace_from_outside(self, api: V2Api):
        """How fast statuses advance."""
        pace = {"queued_s": 0, "stages": [[0, "SENT"]]}
        assert (await api.client.put("/_sandbox/v2/pace", json=pace)).status_code == 204
        ((mailing),) = await api.report(await api.bulk("bob@example.org"))
        assert mailing["success"][0]["status"] == "SENT"

    @pytest.mark.parametrize(
        ("path", "body"),
        [("quirks", {"quirks": ["purple"]}), ("pace", {"speed": 1}), ("lists/1", {"emails": 7})],
    )
    async def test_what_means_nothing(self, api: V2Api, path: str, body: dict[str, object]):
        """Told, not guessed."""
        response = await api.client.put(f"/_sandbox/v2/{path}", json=body)
        assert response.status_code == 400

    async def test_rate_excess_in_the_old_dress(self, api: V2Api):
        """C.1: HTTP 200, status error, the wait in words."""
        api.strike(FaultKind.THROTTLE, style="200", retry_after_s=20)
        response = await api.send()
        assert (response.status_code, response.json()["status"]) == (200, "error")
        assert "20 seconds" in response.json()["message"]
        assert api.letters == []

"""A letter that loses something on its way: foretold, logged, counted and told, all the same."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from providers.contract.capabilities import Part
from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import form_v2, rest_v1
from tests.support import letter_files

PROVIDERS = {"rest": rest_v1, "bulk": form_v2}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_ledger(sandbox: Sandbox, make_gateway: MakeGateway, name: str) -> None:
    """What `explain` foretells is what log, metric and story say afterwards: no more, no less."""
    gateway = make_gateway({name: PROVIDERS[name](sandbox)})
    await gateway.start()
    letter = letter_files.FOLDER / "repeated-fields.eml"
    arguments = ("--from", "alice@example.com", "--to", "bob@example.com", "--json")
    code, out, err = await gateway.command("explain", str(letter), *arguments)
    assert (code, err) == (0, "")
    ((foretold,),) = [recipient["providers"] for recipient in json.loads(out)["recipients"]]
    parts = Counter(shortfall["part"] for shortfall in foretold["shortfalls"])
    assert parts[Part.HEADER_FIELD] >= 3

    await by_smtplib(
        gateway.smtp_port, "alice@example.com", ["bob@example.com"], letter.read_bytes()
    )
    line = await gateway.wait_for(lambda line: line["event"] == "handed_over")
    assert Counter(line["losses"]) == parts
    for part in Part:
        counted = await gateway.metric("mailquay_losses_total", provider=name, part=part.value)
        assert counted == parts[part], part
    code, story, err = await gateway.command("trace", line["queue_id"])
    assert (code, err) == (0, "")
    for shortfall in foretold["shortfalls"]:
        assert f"{shortfall['part']} ({shortfall['reason']})" in story

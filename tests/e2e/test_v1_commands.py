"""`mailquay v1 …` as people and scripts use it, against the sandbox."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import app
from providers.sandbox import credentials
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.rest_v1.lists import MailingList
from providers.sandbox.rest_v1.templates import WELCOME_ID
from providers.sandbox.server import Sandbox
from tests.e2e.gateway_process import environment, rest_v1, run, smarthost

MAILQUAY = (sys.executable, "-m", "gateway")

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    providers = {"main": smarthost(sandbox), "rest": rest_v1(sandbox, rate="5000/s")}
    path.write_text(yaml.safe_dump({"providers": providers}), encoding="utf-8")
    return path


@pytest.fixture
def clients(sandbox: Sandbox) -> str:
    """A list with two recipients and two parameters, one of them called like a column of ours."""
    parameters = {5: ("City", "string"), 6: ("email", "string")}
    sandbox.rest_v1.lists.found[7] = found = MailingList(7, "Clients", parameters)
    sandbox.rest_v1.recipients.put(found, "bob@example.com", {5: 'Minsk, "centre"'})
    sandbox.rest_v1.recipients.put(found, "eve@example.com", {6: "other@example.com"})
    return "7"


@pytest.fixture
def ask(config: Path) -> Ask:
    """Run a command inside this process, and give what it says as JSON."""

    async def _ask(*words: str) -> Any:
        command = ["v1", *words, "-c", str(config), "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return json.loads(result.stdout)

    return _ask


async def v1(config: Path, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run a command as a process of its own."""
    return await run(*MAILQUAY, "v1", *words, "-c", str(config), stdin=stdin)


class TestProcesses:
    async def test_tables_and_json(self, config: Path, clients: str) -> None:
        """The same for people and for machines."""
        code, out, err = await v1(config, "lists", "list")
        assert (code, err) == (0, "")
        assert [line.split() for line in out.splitlines()] == [["id", "title"], ["7", "Clients"]]
        code, out, err = await v1(config, "lists", "list", "--json")
        assert (code, json.loads(out)) == (0, [{"id": "7", "title": "Clients"}])

    async def test_import_in_parts_and_out_again(
        self, sandbox: Sandbox, config: Path, clients: str, tmp_path: Path
    ) -> None:
        """CSV in, queued in parts, waited for, CSV out: the same recipients."""
        source, target = tmp_path / "in.csv", tmp_path / "out.csv"
        lines = [f"{n}@example.com;Town {n}" for n in range(2500)]
        source.write_text("\ufeffemail;City\n" + "\n".join(lines) + "\n\n", encoding="utf-8")
        passing = asyncio.create_task(pass_time(sandbox))
        code, out, err = await v1(
            *(config, "recipients", "import", clients, str(source)),
            *("--part-size", "1000", "--wait", "60s", "--tag", "new", "--json"),
        )
        passing.cancel()
        assert code == 0, err
        assert [part["recipients"] for part in json.loads(out)] == [1000, 1000, 500]
        code, out, err = await v1(config, "recipients", "export", clients, str(target))
        assert (code, err) == (0, "")
        assert out == f"2502 recipients in {target}\n"
        with target.open(encoding="utf-8", newline="") as lines_out:
            found = list(csv.DictReader(lines_out))
        assert {row["email"]: row["City"] for row in found} == {
            "bob@example.com": 'Minsk, "centre"',
            "eve@example.com": "",
            **{f"{n}@example.com": f"Town {n}" for n in range(2500)},
        }
        assert {row["parameter:email"] for row in found} == {"", "other@example.com"}
        assert not list(tmp_path.glob("*.part"))

    async def test_what_was_exported_can_be_imported(
        self, sandbox: Sandbox, config: Path, clients: str
    ) -> None:
        """Through pipes, columns of its own passed over."""
        code, exported, err = await v1(config, "recipients", "export", clients, "--json")
        assert code == 0, err
        code, out, err = await v1(
            *(config, "lists", "create", "Copy", "--json"),
        )
        copy = json.loads(out)["id"]
        code, out, err = await v1(
            *(config, "recipients", "import", copy, "-", "--create-parameters"),
            stdin=exported.encode(),
        )
        assert code == 0, err
        while sandbox.rest_v1.advance():
            pass
        found = sandbox.rest_v1.lists.found[int(copy)].subscribers.values()
        assert [(one.email, list(one.values.values())) for one in found] == [
            ("bob@example.com", ['Minsk, "centre"']),
            ("eve@example.com", ["other@example.com"]),
        ]

    async def test_a_part_that_fails(
        self, sandbox: Sandbox, config: Path, clients: str, tmp_path: Path
    ) -> None:
        """Those before it are queued, and the error says how to go on."""
        source = tmp_path / "in.csv"
        source.write_text("email\n" + "".join(f"{n}@example.com\n" for n in range(3)))
        fault = Fault(FaultKind.REFUSE, "rest_v1", method="POST /email/lists/*/recipients/imports")
        sandbox.rest_v1.imports.found = Trap(lambda: sandbox.faults.add(fault))
        words = ("recipients", "import", clients, str(source), "--part-size", "2")
        code, out, err = await v1(config, *words)
        assert (code, out) == (os.EX_DATAERR, "")
        first, second = err.splitlines()
        assert first == "mailquay: warning: 2 of 3 are queued; go on with --skip 2"
        assert second.startswith("mailquay: HTTP 422 ")
        code, out, err = await v1(config, *words, "--skip", "2", "--json")
        assert code == 0, err
        assert [part["recipients"] for part in json.loads(out)] == [1]

    async def test_a_bar_on_a_terminal(self, config: Path, clients: str, tmp_path: Path) -> None:
        """Long work shows how far it is, where somebody looks; results stay apart from it."""
        source = tmp_path / "in.csv"
        source.write_text("email\na@example.com\nb@example.com\n")
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(*MAILQUAY, "v1", "recipients", "import", clients, str(source)),
            *("-c", str(config), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
            env=environment() | {"TERM": "xterm"},
        )
        os.close(theirs)
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
        shown = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert process.returncode == 0
        assert "queued" in shown
        assert "2/2" in shown
        assert json.loads(out)[0]["recipients"] == 2

    async def test_waiting_has_an_end(self, config: Path, clients: str, tmp_path: Path) -> None:
        """An import that is never seen to end is told as such."""
        source = tmp_path / "in.csv"
        source.write_text("email\nlate@example.com\n")
        code, _, err = await v1(
            config, "recipients", "import", clients, str(source), "--wait", "100ms"
        )
        assert code == os.EX_TEMPFAIL
        assert err == "mailquay: the platform is not done with it yet\n"

    async def test_the_key_stays_secret(self, config: Path, sandbox: Sandbox) -> None:
        """T25: in no error, however it goes wrong."""
        for kind in (FaultKind.UNAUTHORISED, FaultKind.ERROR, FaultKind.DROP_BEFORE):
            sandbox.faults.add(Fault(kind, "rest_v1"))
            command = ["v1", "lists", "list", "-c", str(config)]
            result = await asyncio.to_thread(CliRunner().invoke, app, command)
            assert result.exit_code != 0
            assert credentials.V1_API_KEY not in result.output


async def pass_time(sandbox: Sandbox) -> None:
    """The platform goes on by itself."""
    while True:
        sandbox.rest_v1.advance()
        await asyncio.sleep(0.01)


class Trap(dict[int, Any]):
    """Does something once the first item is put in."""

    def __init__(self, spring: Callable[[], None]) -> None:
        super().__init__()
        self._spring = spring

    def __setitem__(self, key: int, value: Any) -> None:
        if not self:
            self._spring()
        super().__setitem__(key, value)


class TestErrors:
    @pytest.mark.parametrize(
        ("fault", "words", "code", "text"),
        [
            (None, ("lists", "show", "404"), os.EX_NOINPUT, "HTTP 404 Not found"),
            (None, ("lists", "create", "Clients"), os.EX_DATAERR, "title has already been taken"),
            (None, ("balance",), os.EX_UNAVAILABLE, "this installation has no such method"),
            (None, ("recipients", "add", "7", "bob"), os.EX_DATAERR, "a local part"),
            (None, ("recipients", "add", "7", "a@b.c", "--value", "x"), os.EX_DATAERR, "TITLE="),
            (None, ("recipients", "add", "7", "a@b.c", "--value", "x=y"), os.EX_DATAERR, "'x'"),
            (None, ("lists", "show", ".."), os.EX_DATAERR, "an id is never"),
            (None, ("recipients", "import", "7", "/nonexistent.csv"), os.EX_NOINPUT, "No such"),
            (None, ("messages", "show", "1", "--provider", "x"), os.EX_CONFIG, "called x"),
            (Fault(FaultKind.UNAUTHORISED), ("lists", "list"), os.EX_NOPERM, "Invalid token"),
            (
                Fault(FaultKind.UNAUTHORISED, style="402"),
                ("lists", "list"),
                os.EX_NOPERM,
                "Not enough funds",
            ),
            (Fault(FaultKind.ERROR), ("lists", "list"), os.EX_UNAVAILABLE, "HTTP 500 <html>"),
            (Fault(FaultKind.DROP_AFTER), ("lists", "delete", "7"), os.EX_TEMPFAIL, "look before"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    async def test_one_line_and_a_code(
        self,
        *,
        sandbox: Sandbox,
        config: Path,
        clients: str,
        fault: Fault | None,
        words: tuple[str, ...],
        code: int,
        text: str,
    ) -> None:
        """What went wrong, in a line, and a code of sysexits(3) that says what to do."""
        if fault is not None:
            sandbox.faults.add(fault)
        command = ["v1", *words, "-c", str(config)]
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert result.exit_code == code, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("mailquay: ")
        assert text in line
        assert ("look before" in line) is ("delete" in words)  # questions change nothing

    async def test_which_account(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """None, or several and no name: told without a call."""
        path = tmp_path / "gateway.yaml"
        for providers, code, text in (
            ({"main": smarthost(sandbox)}, os.EX_CONFIG, "no rest_v1 provider"),
            ({n: rest_v1(sandbox) for n in ("a", "b")}, os.EX_USAGE, "--provider a | b"),
        ):
            path.write_text(yaml.safe_dump({"providers": providers}), encoding="utf-8")
            command = ["v1", "lists", "list", "-c", str(path)]
            result = await asyncio.to_thread(CliRunner().invoke, app, command)
            assert result.exit_code == code
            assert text in result.stderr
        assert sandbox.letterbox.calls == {}
        result = await asyncio.to_thread(
            CliRunner().invoke, app, [*command, "--provider", "b", "--json"]
        )
        assert (result.exit_code, result.stdout) == (0, "[]\n")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "no column `email`"),
            ("name\nx\n", "no column `email`"),
            ("email,email\n", "twice"),
            ("email,Colour\na@example.com,red\n", "no parameter 'Colour'"),
            ("email,Colour\nnobody,red\n", "line 2"),
            ("email\n", "no recipient"),
            ("email\na@example.com\nnobody\n", "line 3: 'nobody' is no address"),
            ("email\na@example.com,x\n", "line 2: 2 columns"),
            ('email,City\na@example.com,"x\n', "line 2"),
        ],
    )
    async def test_a_file_that_is_wrong_sends_nothing(
        self,
        *,
        sandbox: Sandbox,
        config: Path,
        clients: str,
        tmp_path: Path,
        text: str,
        reason: str,
    ) -> None:
        """The whole of it is read before the first call that changes anything."""
        source = tmp_path / "in.csv"
        source.write_text(text)
        command = ["v1", "recipients", "import", clients, str(source), "-c", str(config)]
        command += ["--create-parameters"] if "nobody" in text else []
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert result.exit_code == os.EX_DATAERR
        assert reason in result.stderr
        assert sandbox.rest_v1.imports.found == {}
        assert len(sandbox.rest_v1.lists.found[7].parameters) == 2


class TestEveryEndpoint:
    async def test_lists_and_parameters(self, ask: Ask) -> None:
        """B.5 and B.6."""
        made = await ask("lists", "create", "Friends")
        assert await ask("lists", "show", made["id"]) == made
        renamed = await ask("lists", "rename", made["id"], "Others")
        assert await ask("lists", "list") == [renamed]
        city = await ask("parameters", "create", made["id"], "City")
        await ask("parameters", "change", made["id"], city["id"], "--kind", "geo")
        assert await ask("parameters", "list", made["id"]) == [{**city, "kind": "geo"}]
        assert await ask("parameters", "delete", made["id"], city["id"]) == {"ok": True}
        assert await ask("lists", "delete", made["id"]) == {"ok": True}
        assert await ask("lists", "list") == []

    async def test_recipients(self, ask: Ask, clients: str) -> None:
        """B.7 and B.9."""
        bob = await ask("recipients", "add", clients, "rob@example.com", "--value", "City=Brest")
        assert bob["values"][0]["value"] == "Brest"
        assert await ask("recipients", "show", clients, bob["id"]) == bob
        changed = await ask(
            *("recipients", "change", clients, bob["id"], "--email", "rob@example.org"),
            *("--remove-value", "City"),
        )
        assert (changed["email"], changed["values"]) == ("rob@example.org", [])
        assert len(await ask("recipients", "list", clients, "--limit", "2")) == 2
        assert len(await ask("search", "example.")) == 3
        (found,) = await ask("search", "ROB@example.org", "--exact")
        assert found["memberships"][0]["list_title"] == "Clients"
        assert await ask("recipients", "delete", clients, bob["id"]) == {"ok": True}

    async def test_organizations(self, ask: Ask) -> None:
        """B.10."""
        fields = ("--address", "Main 1", "--country", "BY", "--city", "Minsk", "--phone", "1")
        made = await ask("organizations", "create", "--name", "a", *fields, "--zip", "220000")
        other = await ask("organizations", "create", "--name", "b", *fields, "--zip", "1")
        assert await ask("organizations", "show") == made
        assert (await ask("organizations", "make-default", other["id"]))["current"]
        changed = await ask("organizations", "change", made["id"], "--city", "Brest")
        assert await ask("organizations", "show", made["id"]) == changed
        await ask("organizations", "delete", made["id"])
        assert len(await ask("organizations", "list")) == 1

    async def test_letters(self, sandbox: Sandbox, ask: Ask, tmp_path: Path) -> None:
        """B.3 and B.4: with a file and a header field, and of a template."""
        (tmp_path / "body.html").write_text("<p>Hi</p>")
        (tmp_path / "a.txt").write_text("attached")
        sent = await ask(
            *("messages", "send", "bob@example.org", "--from", "news@example.com"),
            *("--subject", "Hi", "--html", f"@{tmp_path}/body.html", "--header", "X-Shop: 7"),
            *("--attach", f"{tmp_path}/a.txt", "--payment", "credit"),
        )
        assert (sent["html"], sent["attachments"]) == ("<p>Hi</p>", ["a.txt"])
        assert sandbox.letterbox.letters[0].header_fields == {"X-Shop": "7"}
        sandbox.rest_v1.advance()
        assert (await ask("messages", "show", sent["id"]))["status"] == "sent"
        words = ("templates", "send", str(WELCOME_ID), "bob@example.org")
        sent = await ask(*words, "--params", '{"code": 7}', "--param", "name=Bob")
        assert sent["text"] == "Hi Bob, your code is 7"

    async def test_templates(self, sandbox: Sandbox, ask: Ask) -> None:
        """B.13."""
        sandbox.rest_v1.dialect.extras = True
        words = ("--from", "a@example.com", "--subject", "s", "--html", "<p>x</p>")
        made = await ask("templates", "create", "Code", *words)
        assert (await ask("templates", "submit", made["id"]))["state"] == "pending"
        assert (await ask("templates", "show", made["id"]))["name"] == "Code"
        assert len(await ask("templates", "list")) == 2

    async def test_campaigns(self, sandbox: Sandbox, ask: Ask, clients: str) -> None:
        """B.11 and B.13."""
        sandbox.rest_v1.dialect.extras = True
        words = ("--from", "a@example.com", "--subject", "s", "--text", "x", "--list", clients)
        draft = await ask("campaigns", "create", *words)
        assert (draft["state"], draft["recipients_count"]) == ("draft", 2)
        later = await ask("campaigns", "schedule", draft["id"], "2026-03-08 09:05")
        assert (later["state"], later["start_at"]) == ("delayed", "08.03.2026 09:05")
        assert (await ask("campaigns", "deliver", draft["id"]))["state"] == "sending"
        sandbox.rest_v1.advance()
        found = await ask("campaigns", "show", draft["id"])
        assert found["statistics"]["delivered"] == 2
        assert len(await ask("campaigns", "list")) == 1
        assert await ask("segments") == [{"id": "1", "title": "Readers"}]

    async def test_webhooks(self, sandbox: Sandbox, ask: Ask) -> None:
        """B.12 and B.13."""
        sandbox.rest_v1.dialect.webhooks = "add"
        sandbox.rest_v1.hooks.urls = ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"]
        url = {"url": "http://127.0.0.1:1/c"}
        assert await ask("webhook", "set", url["url"]) == url
        assert sandbox.rest_v1.hooks.urls == [url["url"]]
        assert await ask("webhook", "show") == url
        assert await ask("webhook", "remove") == [url]
        assert await ask("webhook", "show") == {"url": ""}
        sandbox.rest_v1.dialect.extras = True
        made = await ask("webhooks", "create", "mine", url["url"], "--event", "delivered")
        await ask("webhooks", "change", made["id"], "--title", "ours")
        assert (await ask("webhooks", "show", made["id"]))["title"] == "ours"
        assert len(await ask("webhooks", "list")) == 1
        assert "opened" in await ask("webhooks", "events")
        assert await ask("webhooks", "kinds")
        assert await ask("webhooks", "delete", made["id"]) == {"ok": True}

    async def test_balance(self, sandbox: Sandbox, ask: Ask) -> None:
        """B.13."""
        sandbox.rest_v1.balance = 100
        assert (await ask("balance"))["balance"] == "100"

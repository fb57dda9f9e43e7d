"""`mailquay v2 …` as people and scripts use it, against the sandbox."""

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
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app
from providers.sandbox import credentials
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.gateway_process import environment, form_v2, run, smarthost

MAILQUAY = (sys.executable, "-m", "gateway")
LETTER = ("--from", "news@example.com", "--subject", "Hi", "--message", "<p>Hi</p>")

Call = Callable[..., Awaitable[Result]]
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    providers = {"main": smarthost(sandbox), "bulk": form_v2(sandbox, rate="5000/s")}
    path.write_text(yaml.safe_dump({"providers": providers}), encoding="utf-8")
    return path


@pytest.fixture
def call(config: Path) -> Call:
    """Run a command inside this process."""

    async def _call(*words: str, stdin: str = "") -> Result:
        command = ["v2", *words, "-c", str(config)]
        return await asyncio.to_thread(CliRunner().invoke, app, command, input=stdin)

    return _call


@pytest.fixture
def ask(call: Call) -> Ask:
    """Run a command that goes well, and give what it says as JSON."""

    async def _ask(*words: str, stdin: str = "") -> Any:
        result = await call(*words, "--json", stdin=stdin)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return json.loads(result.stdout)

    return _ask


def a_csv(folder: Path, *rows: str) -> str:
    path = folder / "letters.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


async def v2(config: Path, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run a command as a process of its own."""
    return await run(*MAILQUAY, "v2", *words, "-c", str(config), stdin=stdin)


class TestProcesses:
    async def test_tables_and_json(self, config: Path) -> None:
        """The same for people and for machines."""
        code, out, err = await v2(config, "templates")
        assert (code, err) == (0, "")
        assert [line.split() for line in out.splitlines()] == [["id", "title"], ["11", "Welcome"]]
        code, out, err = await v2(config, "templates", "--json")
        assert (code, json.loads(out)) == (0, [{"id": "11", "title": "Welcome"}])

    async def test_bulk_from_a_file_to_a_file(
        self, sandbox: Sandbox, config: Path, tmp_path: Path
    ) -> None:
        """CSV in, cut into calls, waited for, CSV out: what became of each."""
        sandbox.form_v2.account.stages = ((0.0, "DELIVERED"),)
        sandbox.faults.add(Fault(FaultKind.REFUSE, recipient="u7@"))
        rows = (f"u{n}@example.org;Hi {n};<p>ü {n}</p>" for n in range(250))
        source = a_csv(tmp_path, "\ufeffEmail;Subject;Message", *rows)
        target = tmp_path / "out.csv"
        code, out, err = await v2(
            config,
            *("send-bulk", source, "--from", "news@example.com", "--from-name", "Shop"),
            *("--name", "Autumn", "--wait", "1m", "--results", str(target)),
        )
        assert (code, err) == (0, "")
        assert [line.split()[1] for line in out.splitlines()[1:]] == ["200", "50"]
        with target.open(encoding="utf-8", newline="") as lines:
            results = {row["email"]: row for row in csv.DictReader(lines)}
        assert len(results) == 250
        assert results["u7@example.org"]["status"] == "REFUSED"
        assert results["u8@example.org"]["status"] == "DELIVERED"
        letters = {letter.recipient: letter for letter in sandbox.letterbox.letters}
        assert (letters["u3@example.org"].subject, letters["u3@example.org"].html) == (
            "Hi 3",
            "<p>ü 3</p>",
        )
        assert letters["u3@example.org"].parameters["name"] == "Autumn"
        assert not target.with_name("out.csv.part").exists()

    async def test_a_bar_on_a_terminal(self, config: Path, tmp_path: Path) -> None:
        """Long work shows how far it is, where somebody looks; results stay apart from it."""
        source = a_csv(tmp_path, "email", "a@example.org", "b@example.org")
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(*MAILQUAY, "v2", "send-bulk", source, *LETTER, "-c", str(config), "--json"),
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
        assert "letters" in shown
        assert "2/2" in shown
        assert json.loads(out)["batches"][0]["letters"] == 2

    async def test_the_token_is_in_no_line(self, sandbox: Sandbox, config: Path) -> None:
        """T25, D 34: whatever goes wrong."""
        for kind in (FaultKind.UNAUTHORISED, FaultKind.ERROR, FaultKind.DROP_AFTER):
            sandbox.faults.add(Fault(kind, times=2))
            code, out, err = await v2(config, "templates")
            sandbox.faults.clear()
            assert code != 0
            assert credentials.V2_TOKEN not in out + err
            assert "eyJpdiI6" not in out + err
            assert len(err.splitlines()) == 1
            assert err.startswith("mailquay: ")


class TestLetters:
    async def test_one(self, sandbox: Sandbox, ask: Ask, tmp_path: Path) -> None:
        """SendEmail with all it takes."""
        file, message = tmp_path / "счёт.pdf", tmp_path / "letter.html"
        file.write_bytes(b"%PDF\x00")
        message.write_text("<p>Привет</p>", encoding="utf-8")
        told = await ask(
            *("send", "bob@example.org", "--from", "news@example.com", "--from-name", "Лавка"),
            *("--subject", "Заказ", "--message", f"@{message}", "--attach", str(file)),
            *("--no-track-open", "--at", "2126-01-31T12:30+03:00"),
        )
        (letter,) = sandbox.letterbox.letters
        assert told == {"email_id": letter.provider_message_id}
        assert (letter.from_name, letter.subject, letter.html) == (
            "Лавка",
            "Заказ",
            "<p>Привет</p>",
        )
        assert letter.parameters == {"track_open": "0", "d_schedule": "2126-01-31 12:30"}
        assert (letter.attachments[0].filename, letter.attachments[0].content) == (
            "счёт.pdf",
            b"%PDF\x00",
        )

    async def test_message_from_standard_input(self, sandbox: Sandbox, ask: Ask) -> None:
        """`@-` in a pipe."""
        words = ("--from", "news@example.com", "--subject", "Hi", "--message", "@-")
        await ask("send", "bob@example.org", *words, stdin="<p>piped</p>")
        assert sandbox.letterbox.letters[0].html == "<p>piped</p>"

    async def test_to_a_list(self, sandbox: Sandbox, ask: Ask) -> None:
        """sendEmailByList, and its recipients by the mailing's id."""
        told = await ask("send-list", "1", *LETTER, "--name", "Autumn")
        assert told["count_emails"] == 2
        listed = await ask("deliveries", told["message_id"])
        assert {row["email"] for row in listed} == {"bob@example.com", "eve@example.com"}
        assert {row["status"] for row in listed} == {"NEW"}

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("send", "nobody", *LETTER), os.EX_DATAERR, "nobody: an address needs"),
            (("send", "b@example.org", *LETTER[:4], "--message", ""), os.EX_DATAERR, "a message"),
            (("send", "b@example.org", *LETTER, "--attach", "/no/file"), os.EX_NOINPUT, "/no/file"),
            (
                ("send", "b@example.org", *LETTER[:4], "--message", "@/no/file"),
                os.EX_NOINPUT,
                "/no/file",
            ),
            (("send-list", "99", *LETTER), os.EX_DATAERR, "The list is not found"),
            (("deliveries", "99"), os.EX_DATAERR, "The mailing is not found"),
            (("status", "0-0"), os.EX_DATAERR, "The uuid is not found"),
            (("status", "0-0", "--wait", "soon"), os.EX_USAGE, "--wait"),
            (
                (
                    "send",
                    "b@example.org",
                    *LETTER[:2],
                    "--subject",
                    "a\nBcc: e@b.org",
                    "--message",
                    "x",
                ),
                os.EX_DATAERR,
                "subject is not a single line",
            ),
        ],
    )
    async def test_what_is_wrong_is_told_in_one_line(
        self, sandbox: Sandbox, call: Call, words: tuple[str, ...], code: int, said: str
    ) -> None:
        """With the exit code of sysexits(3), and nothing is sent."""
        result = await call(*words)
        assert result.exit_code == code, result.output
        (line,) = result.stderr.splitlines()
        assert said in line
        assert sandbox.letterbox.letters == []

    @pytest.mark.parametrize(
        ("kind", "code", "said"),
        [
            (FaultKind.UNAUTHORISED, os.EX_NOPERM, "Invalid token"),
            (FaultKind.THROTTLE, os.EX_TEMPFAIL, "try again in 3600 s"),
            (FaultKind.REFUSE, os.EX_DATAERR, "refused"),
            (FaultKind.DROP_AFTER, os.EX_TEMPFAIL, "look before you repeat it"),
            (FaultKind.GARBAGE, os.EX_TEMPFAIL, "look before you repeat it"),
        ],
    )
    async def test_trouble_of_the_service(
        self, sandbox: Sandbox, call: Call, kind: FaultKind, code: int, said: str
    ) -> None:
        """Each kind has its exit code; a lost answer warns of a second copy."""
        sandbox.faults.add(Fault(kind, retry_after_s=3600))
        result = await call("send", "bob@example.org", *LETTER)
        assert result.exit_code == code
        (line,) = result.stderr.splitlines()
        assert said in line

    @pytest.mark.parametrize("kind", [FaultKind.THROTTLE, FaultKind.DEFER])
    async def test_a_busy_service_is_waited_for(
        self, sandbox: Sandbox, ask: Ask, kind: FaultKind
    ) -> None:
        """Too fast, or busy: the call is made again, and the letter sent once."""
        sandbox.faults.add(Fault(kind))
        await ask("send", "bob@example.org", *LETTER)
        assert sandbox.letterbox.calls == {"form_v2": 2}
        assert len(sandbox.letterbox.letters) == 1


class TestBatches:
    async def test_the_same_letter_to_many(
        self, sandbox: Sandbox, ask: Ask, tmp_path: Path
    ) -> None:
        """Without columns of their own all get the same; an address that repeats gets both."""
        source = a_csv(tmp_path, "email", "a@example.org", "b@example.org", "A@example.org")
        told = await ask("send-bulk", source, *LETTER)
        assert [batch["letters"] for batch in told["batches"]] == [2, 1]
        assert told["results"] == []
        assert {x.parameters["message_type"] for x in sandbox.letterbox.letters} == {"bulk"}

    async def test_columns_for_some(self, sandbox: Sandbox, ask: Ask, tmp_path: Path) -> None:
        """What a row leaves out comes from the options."""
        source = a_csv(tmp_path, "email,subject", "a@example.org,Dear A", "b@example.org,")
        await ask("send-bulk", source, *LETTER)
        assert [x.subject for x in sandbox.letterbox.letters] == ["Dear A", "Hi"]

    async def test_results_of_a_batch(self, sandbox: Sandbox, ask: Ask, tmp_path: Path) -> None:
        """statusBulkEmail: the taken and the refused in one table."""
        source = a_csv(tmp_path, "email", "a@example.org", "b@example")
        told = await ask("send-bulk", source, *LETTER)
        uuid = told["batches"][0]["batch"]
        found = {row["email"]: row for row in await ask("status", uuid)}
        assert found["a@example.org"]["status"] == "NEW"
        assert found["b@example"]["status"] == "REFUSED"
        assert "incorrect" in found["b@example"]["error"]
        sandbox.form_v2.account.stages = ((0.0, "OPEN"),)
        found = {row["email"]: row for row in await ask("status", uuid, "--wait", "30s")}
        assert found["a@example.org"]["status"] == "OPEN"

    async def test_a_batch_that_waits_is_waited_for(
        self, sandbox: Sandbox, ask: Ask, tmp_path: Path
    ) -> None:
        """A report that begins empty, and grows, is asked for until all of it is final."""
        account = sandbox.form_v2.account
        account.queued_s, account.stages = 1e6, ((0.0, "NEW"),)
        told = await ask("send-bulk", a_csv(tmp_path, "email", "a@example.org"), *LETTER)

        async def advance() -> None:
            for queued_s, word in ((0.0, "NEW"), (0.0, "DELIVERED")):
                asked = sandbox.form_v2.methods["statusBulkEmail"]
                await sandbox.letterbox.wait_until(
                    lambda _, asked=asked: sandbox.form_v2.methods["statusBulkEmail"] > asked, 30
                )
                account.queued_s, account.stages = queued_s, ((0.0, word),)

        advancing = asyncio.create_task(advance())
        found = await ask("status", told["batches"][0]["batch"], "--wait", "1m")
        await advancing
        assert [row["status"] for row in found] == ["DELIVERED"]

    async def test_patience_ends(self, sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
        """What is not final by then is shown as it stands, with a warning."""
        sandbox.form_v2.account.stages = ((0.0, "NEW"),)
        source = a_csv(tmp_path, "email", "a@example.org")
        result = await call("send-bulk", source, *LETTER, "--wait", "300ms")
        assert result.exit_code == 0
        assert "not final yet" in result.stderr
        assert "NEW" in result.stdout

    async def test_a_failure_in_the_middle_says_how_to_go_on(
        self, sandbox: Sandbox, call: Call, ask: Ask, tmp_path: Path
    ) -> None:
        """What was taken stays taken; `--skip` leaves it out the next time."""
        rows = [f"u{n}@example.org" for n in range(700)]
        source = a_csv(tmp_path, "email", *rows)

        async def refuse_after_the_first() -> None:
            await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 500, 30)
            sandbox.faults.add(Fault(FaultKind.REFUSE))

        refusing = asyncio.create_task(refuse_after_the_first())
        result = await call("send-bulk", source, *LETTER)
        await refusing
        assert result.exit_code == os.EX_DATAERR
        assert "500 of 700 are taken; go on with --skip 500" in result.stderr
        (uuid,) = sandbox.form_v2.account.batches
        assert uuid in result.stdout
        told = await ask("send-bulk", source, *LETTER, "--skip", "500")
        assert [batch["letters"] for batch in told["batches"]] == [200]
        assert len({x.recipient for x in sandbox.letterbox.letters}) == 700

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            (["address", "a@example.org"], "no column `email`"),
            (["email,email", "a@example.org,b"], "a column twice"),
            (["email"], "no row with an address"),
            (["email", "a@example.org", "nobody"], "line 3: 'nobody'"),
            (["email,subject", "a@example.org"], "line 2: 1 cells, not 2"),
            (["email,subject", 'a@example.org,"open'], "line 2"),
            (["email,subject", 'a@example.org,"a\nb"'], "row 1: subject is not a single line"),
        ],
    )
    async def test_files_that_cannot_be_sent(
        self, sandbox: Sandbox, call: Call, tmp_path: Path, rows: list[str], said: str
    ) -> None:
        """Told with the line before anything is sent."""
        result = await call("send-bulk", a_csv(tmp_path, *rows), *LETTER)
        assert result.exit_code == os.EX_DATAERR, result.output
        assert said in result.stderr
        assert sandbox.letterbox.calls == {}

    async def test_files_that_are_not_there(
        self, sandbox: Sandbox, call: Call, tmp_path: Path
    ) -> None:
        """66 for what cannot be read, 73 for what cannot be written; nothing is sent before."""
        result = await call("send-bulk", "/no/file.csv", *LETTER)
        assert result.exit_code == os.EX_NOINPUT
        source = a_csv(tmp_path, "email", "a@example.org")
        result = await call("send-bulk", source, *LETTER, "--results", "/no/folder/out.csv")
        assert result.exit_code == os.EX_CANTCREAT
        assert sandbox.letterbox.calls == {}


class TestSubscriptions:
    async def test_there_and_back(self, sandbox: Sandbox, ask: Ask) -> None:
        """UnsubscribeEmail and subscribeEmail, of one list and of all."""
        told = await ask("unsubscribe", "bob@example.com", "--list", "1", "--reason", "asked")
        assert told == [{"email": "bob@example.com", "result": "ok"}]
        assert sandbox.form_v2.account.unsubscribed == {"bob@example.com": {"1"}}
        await ask("subscribe", "bob@example.com")
        assert sandbox.form_v2.account.unsubscribed == {}

    async def test_a_file_of_them(self, sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
        """A refusal leaves the others alone; results as CSV; the exit code tells of it."""
        sandbox.faults.add(Fault(FaultKind.REFUSE, recipient="b@"))
        source = a_csv(tmp_path, "email", "a@example.org", "b@example.org", "c@example.org")
        target = tmp_path / "out.csv"
        result = await call("unsubscribe", "--file", source, "--results", str(target))
        assert result.exit_code == os.EX_DATAERR
        assert "1 failed: " in result.stderr
        with target.open(encoding="utf-8", newline="") as lines:
            found = {row["email"][0]: row["result"] for row in csv.DictReader(lines)}
        assert (found["a"], found["c"]) == ("ok", "ok")
        assert "refused" in found["b"]
        assert set(sandbox.form_v2.account.unsubscribed) == {"a@example.org", "c@example.org"}

    async def test_trouble_of_the_account_stops_it(
        self, sandbox: Sandbox, call: Call, tmp_path: Path
    ) -> None:
        """There is no sense in asking a thousand times with a bad token."""
        sandbox.faults.add(Fault(FaultKind.UNAUTHORISED, times=None))
        source = a_csv(tmp_path, "email", "a@example.org", "b@example.org")
        result = await call("subscribe", "--file", source)
        assert result.exit_code == os.EX_NOPERM
        assert "1 failed, 1 not tried" in result.stderr
        assert sandbox.letterbox.calls == {"form_v2": 1}

    async def test_nobody(self, call: Call) -> None:
        """An address or a file is needed."""
        assert (await call("subscribe")).exit_code == os.EX_USAGE


class TestAccounts:
    async def test_which(self, sandbox: Sandbox, tmp_path: Path, config: Path, call: Call) -> None:
        """The only form_v2, or the one that is named; else the process says what is missing."""
        assert (await call("templates", "--provider", "bulk")).exit_code == 0
        result = await call("templates", "--provider", "main")
        assert (result.exit_code, "no form_v2 provider is called main" in result.stderr) == (
            78,
            True,
        )
        providers = {"a": form_v2(sandbox), "b": form_v2(sandbox)}
        config.write_text(yaml.safe_dump({"providers": providers}), encoding="utf-8")
        result = await call("templates")
        assert result.exit_code == os.EX_USAGE
        assert "--provider a | b" in result.stderr
        assert (await call("templates", "--provider", "b")).exit_code == 0
        config.write_text(
            yaml.safe_dump({"providers": {"main": smarthost(sandbox)}}), encoding="utf-8"
        )
        assert (await call("templates")).exit_code == os.EX_CONFIG

    async def test_unreachable(self, config: Path, call: Call, sandbox: Sandbox) -> None:
        """Nobody listens there: try again later."""
        await sandbox.stop()
        result = await call("templates")
        assert result.exit_code == os.EX_TEMPFAIL
        assert "cannot connect" in result.stderr

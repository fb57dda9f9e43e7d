"""The command line as users script against it, the daemon running or not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from providers.sandbox import credentials
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib, queue_id_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import form_v2, rest_v1, run, smarthost

MAILQUAY = (sys.executable, "-m", "gateway")
GOOD = "providers: {main: {kind: smarthost, host: smtp.example.com, tls: off}}\n"

BAD = {
    "no file": (None, "cannot be read"),
    "not YAML": ("providers: [", "not valid YAML at line"),
    "a list": ("- providers", "key: value"),
    "no provider": ("hostname: a.example.com\n", "providers: "),
    "unknown key": (GOOD + "smtp: {max_size: 1MiB}\n", "smtp.max_size: no such setting"),
    "unknown kind": ("providers: {main: {kind: pigeon}}\n", "providers.main.kind"),
    "bad duration": (GOOD + "retry: {first: 30}\n", "retry.first"),
    "open relay": (GOOD + "smtp: {networks: ['0.0.0.0/0']}\n", "strangers"),
    "route to nowhere": (GOOD + "routes: [{name: a, providers: [b]}]\n", "no provider is called b"),
    "secret file missing": (
        (
            "providers: {main: {kind: rest_v1, base_url: 'https://a.example.com/v1', "
            "api_key_file: /nonexistent/key}}\n"
        ),
        "cannot read /nonexistent/key",
    ),
    "password in the clear": (
        (
            "providers: {main: {kind: smarthost, host: a.example.com, tls: 'off', username: u, "
            "password: p}}\n"
        ),
        "allow_plain_auth",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_check_tells_what_is_wrong_in_one_line_and_exits_78(
    tmp_path: Path, case: str
) -> None:
    """File, key and reason; nothing is started."""
    text, reason = BAD[case]
    path = tmp_path / "gateway.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    code, out, err = await run(*MAILQUAY, "check", "-c", str(path))
    assert code == 78
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"mailquay: {path}: ")
    assert reason in line


async def test_check_shows_effective_values_with_secrets_masked(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """What is in force, without what must not be seen (T25)."""
    gateway = make_gateway({"main": smarthost(sandbox), "rest": rest_v1(sandbox)})
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")  # JSON is YAML
    code, out, err = await gateway.command("check")
    assert code == 0, err
    assert "25MiB" in out
    assert "rest_v1" in out
    assert credentials.SMTP_PASSWORD not in out
    assert credentials.V1_API_KEY not in out


async def test_check_online_asks_every_provider_and_sends_nothing(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Credentials are proven good or bad before the first letter."""
    providers = {
        "main": smarthost(sandbox),
        "rest": rest_v1(sandbox),
        "bulk": form_v2(sandbox),
    }
    gateway = make_gateway(providers)
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")
    code, out, err = await gateway.command("check", "--online")
    assert code == 0, out + err
    assert out.count("ok: ") == 3
    sandbox.faults.add(Fault(FaultKind.UNAUTHORISED, "rest_v1", times=None))
    code, out, err = await gateway.command("check", "--online")
    assert code == os.EX_UNAVAILABLE
    assert "rest" in err
    assert not sandbox.letterbox.letters


async def test_check_and_log_warn_of_routes_and_providers(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """A route that is never taken, letters that nobody carries, a provider that nobody uses."""
    routes = [
        {"name": "all", "providers": ["rest"]},
        {"name": "late", "when": {"sender": "a@example.com"}, "providers": ["main"]},
    ]
    providers = {"main": smarthost(sandbox), "rest": rest_v1(sandbox)}
    gateway = make_gateway(providers, routes=routes, bounces={"from": "bounces@example.com"})
    await gateway.start()
    logged = [line["reason"] for line in gateway.log if line["event"] == "route_gap"]
    starts = (
        "route all: none of its providers carries inline images",
        "route all: refuses letters with files over ",
        "route late: never taken: all before it",
        "provider main: no route that is ever taken names it",
    )
    assert len(logged) == len(starts)
    assert all(line.startswith(start) for line, start in zip(logged, starts, strict=True))
    code, out, err = await gateway.command("check")
    assert code == 0
    assert err.splitlines() == [f"mailquay: warning: {line}" for line in logged]
    assert "late" in out
    code, out, _ = await gateway.command("check", "--json")
    assert (code, json.loads(out)["warnings"]) == (0, logged)


async def test_send_queue_and_trace_tell_one_story(
    sandbox: Sandbox, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """A letter sent by command is found by queue id, Message-ID, provider's id and address."""
    note = tmp_path / "note.txt"
    note.write_text("attached\n", encoding="utf-8")
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    gateway.config["smtp"]["listeners"][0]["port"] = gateway.smtp_port
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")
    code, out, err = await gateway.command(
        *("send", "--from", "a@example.com", "--to", "bob@example.org", "--attach", str(note))
    )
    assert code == 0, err
    queue_id = out.split()[-1]
    await gateway.wait_for(lambda line: line["event"] == "handed_over")
    code, out, err = await gateway.command("trace", queue_id, "--json")
    assert code == 0, err
    (story,) = json.loads(out)
    assert story["recipients"][0]["state"] == "handed_over"
    names = (
        story["message_id"],
        story["message_id"].strip("<>"),
        story["recipients"][0]["provider_message_id"],
        "bob@example.org",
        "a@example.com",
        queue_id.lower(),
    )
    for name in names:
        code, out, err = await gateway.command("trace", name)
        assert code == 0, (name, err)
        assert queue_id in out
        assert "accepted" in out
    code, out, _ = await gateway.command("queue", "stats")
    assert code == 0
    assert "balanced" in out
    code, out, err = await gateway.command("trace", "nobody@example.net")
    assert (code, out) == (os.EX_NOINPUT, "")
    assert err.startswith("mailquay: no letter is known")


async def test_queue_commands_work_on_waiting_letters(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Listed, held, released, removed: also while the daemon runs."""
    gateway = make_gateway(
        {"main": smarthost(sandbox, port=1)}, retry={"first": "1h", "longest": "2h"}
    )
    await gateway.start()
    gateway.config["smtp"]["listeners"][0]["port"] = gateway.smtp_port
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")
    send = ("send", "--from", "a@example.com", "--to", "bob@example.org", "--text", "see you")
    code, out, err = await gateway.command(*send)
    assert code == 0, err
    queue_id = out.split()[-1]
    await gateway.wait_for(lambda line: line["event"] == "deferred")
    code, out, _ = await gateway.command("queue", "list", "--json")
    (row,) = json.loads(out)
    assert (row["queue_id"], row["state"]) == (queue_id, "waiting")
    code, out, _ = await gateway.command("queue", "show", queue_id, "--content")
    assert "see you" in out
    for command, state in (("hold", "held"), ("release", "waiting"), ("remove", "removed")):
        code, out, err = await gateway.command("queue", command, queue_id)
        assert (code, out.split()[0]) == (0, "1"), err
        code, out, _ = await gateway.command("trace", queue_id, "--json")
        assert json.loads(out)[0]["recipients"][0]["state"] in (state, "sending")
        if state == "waiting":
            count = 2
            await gateway.wait_for_count(count, lambda line: line["event"] == "deferred")
    code, out, err = await gateway.command("queue", "remove")
    assert code == os.EX_USAGE
    assert err == (
        "mailquay: Invalid value: name a queue id or a filter, or say --all "
        "(see mailquay queue remove -h)\n"
    )


async def test_erased_address_is_in_no_command_any_more(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Beside the running daemon; the letter and its end stay, without the person."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    letter = b"Subject: Order 77\r\n\r\nbody\r\n"
    to = ["bob@example.org", "eve@example.org"]
    reply = await by_smtplib(gateway.smtp_port, "a@example.com", to, letter)
    await gateway.wait_for_count(2, lambda line: line["event"] == "handed_over")
    code, out, err = await gateway.command("erase", "Bob@example.org")
    assert (code, out, err) == (0, "1 letters; 0 waiting recipients removed\n", "")
    code, out, err = await gateway.command("trace", queue_id_of(reply))
    assert code == 0, err
    assert "bob@" not in out
    assert "erased@erased.invalid" in out
    assert "delays=" in out
    code, out, _ = await gateway.command("queue", "stats")
    assert ": balanced" in out
    code, _, _ = await gateway.command("trace", "bob@example.org")
    assert code == os.EX_NOINPUT
    code, _, _ = await gateway.command("erase", "bob")
    assert code == os.EX_USAGE


async def test_every_queue_command_takes_every_filter(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Provider, state, age and address, together and alone, beside the running daemon."""
    gateway = make_gateway(
        {"main": smarthost(sandbox, port=1), "spare": smarthost(sandbox, port=1)},
        retry={"first": "1h", "longest": "2h"},
        routes=[
            {"name": n, "when": {"sender": f"{n}@example.com"}, "providers": [n]}
            for n in ("main", "spare")
        ],
    )
    await gateway.start()
    for name in ("main", "spare"):
        await by_smtplib(gateway.smtp_port, f"{name}@example.com", ["bob@example.org"], b"a\r\n")
    await gateway.wait_for_count(2, lambda line: line["event"] == "deferred")
    for words, number in (
        (("list", "--json", "--older", "1h"), None),
        (("hold", "--provider", "spare", "--older", "1ms"), 1),
        (("release", "--state", "held", "--address", "BOB@"), 1),
        (("retry", "--state", "uncertain"), 0),
        (("remove", "--address", "main@", "--provider", "spare"), 0),
        (("remove", "--address", "MAIN@", "--provider", "main"), 1),
    ):
        code, out, err = await gateway.command("queue", *words)
        assert code == 0, err
        assert out == "[]\n" if number is None else int(out.split()[0]) == number, words


async def test_second_daemon_on_the_same_spool_is_refused(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Two daemons on one SQLite file would send letters twice."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    code, _, err = await gateway.command("serve")
    assert code in (os.EX_TEMPFAIL, os.EX_CONFIG)
    assert err.splitlines()[-1].startswith("mailquay: spool: ")


async def test_ready_asks_the_running_daemon(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """What a container's check runs: 0 while all is well, 69 with the reason when it is not."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    gateway.config["http"] = {"host": "127.0.0.1", "port": gateway.http_port}
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")
    assert await gateway.command("ready") == (0, "ready\n", "")
    assert await gateway.command("ready", "--live") == (0, "live\n", "")
    code, out, _ = await gateway.command("ready", "--json")
    assert (code, json.loads(out)) == (0, {"ready": True, "reasons": []})
    await gateway.stop()
    code, out, err = await gateway.command("ready")
    assert (code, out) == (os.EX_UNAVAILABLE, "")
    assert err.startswith("mailquay: no answer from http://127.0.0.1:")
    assert err.count("\n") == 1


async def test_port_in_use_is_one_line(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """What keeps the daemon from starting is told without a traceback."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    gateway.config["smtp"]["listeners"][0]["port"] = sandbox.smtp_port
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")
    code, _, err = await gateway.command("serve")
    assert code == os.EX_OSERR
    assert "Traceback" not in err
    assert str(sandbox.smtp_port) in err.splitlines()[-1]


async def test_sandbox_command_imitates_and_fails_on_demand() -> None:
    """`mailquay sandbox` for people who try things by hand."""
    process = await asyncio.create_subprocess_exec(
        *(*MAILQUAY, "sandbox", "--fault", "smarthost:refuse:2"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("smarthost  127.0.0.1:")
    finally:
        process.terminate()
        assert await process.wait() == 0
    code, _, err = await run(*MAILQUAY, "sandbox", "--fault", "smarthost:explode")
    assert code == os.EX_USAGE
    assert "refuse" in err


async def test_no_secret_in_anything_the_daemon_says(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """T25: log at its most talkative, metrics, process list, through successes and failures."""
    gateway = make_gateway(
        {"main": smarthost(sandbox), "rest": rest_v1(sandbox), "bulk": form_v2(sandbox)},
        log={"format": "json", "level": "debug"},
        routes=[{"name": "all", "providers": ["bulk", "rest", "main"]}],
    )
    for kind in (FaultKind.UNAUTHORISED, FaultKind.GARBAGE, FaultKind.ERROR):
        sandbox.faults.add(Fault(kind, "*", times=3))
    await gateway.start()
    gateway.config["smtp"]["listeners"][0]["port"] = gateway.smtp_port
    gateway.config_path.write_text(json.dumps(gateway.config), encoding="utf-8")
    for _ in range(4):
        await gateway.command("send", "--from", "a@example.com", "--to", "bob@example.org")
    await gateway.wait_for(lambda line: line["event"] == "handed_over")
    said = json.dumps(gateway.log) + (await gateway.get("/metrics")).text
    said += Path(f"/proc/{gateway.pid}/cmdline").read_text(encoding="utf-8")
    await gateway.stop()
    said += json.dumps(gateway.log)
    for secret in (credentials.SMTP_PASSWORD, credentials.V1_API_KEY, credentials.V2_TOKEN):
        assert secret not in said

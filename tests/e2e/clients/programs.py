"""
Programs that others wrote, each told to send one letter by one way, unmodified.

A program is a coroutine that ends when the letter was accepted, and raises when it was not.
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.clients.way import REVERSE_PATH, SUBJECT, TEXT, Way, letter
from tests.e2e.gateway_process import environment

HERE = Path(__file__).parent
NODE = Path(".venv/node").resolve()
"""Where tests/system-packages puts what comes from npm."""

EVERY_WAY = ("plain", "starttls", "implicit", "auth")


@dataclass(frozen=True, slots=True)
class Program:
    """
    A client.

    Attributes:
        name: Of the program or library.
        send: Sends the letter of `way` to one address.
        missing: Why it cannot be used here, empty when it can.
        ways: Those it knows.
        own_subject: It writes a letter of its own, and not ours.
    """

    name: str
    send: Callable[[Way, str], Awaitable[None]]
    missing: Callable[[], str]
    ways: tuple[str, ...] = EVERY_WAY


def needs(*programs: str) -> Callable[[], str]:
    """Tells which of these is not installed."""

    def missing() -> str:
        gone = [program for program in programs if shutil.which(program) is None]
        return f"{', '.join(gone)} not installed, and that needs root" if gone else ""

    return missing


async def run(
    *words: str, stdin: bytes = b"", more: Mapping[str, str] | None = None, within_s: float = 60
) -> str:
    """Run a program that must succeed; what it said."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment() | dict(more or {}),
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise AssertionError(f"{words[0]} ended with {process.returncode}: {said.decode()}")
    return said.decode(errors="replace")


async def by_smtplib(way: Way, to: str) -> None:
    """Python's own."""

    def send() -> None:
        context = ssl.create_default_context(cafile=str(way.ca))
        smtp = (
            smtplib.SMTP_SSL("127.0.0.1", way.port, timeout=30, context=context)
            if way.tls == "implicit"
            else smtplib.SMTP("127.0.0.1", way.port, timeout=60)
        )
        with smtp:
            if way.tls == "starttls":
                smtp.starttls(context=context)
            if way.username:
                smtp.login(way.username, way.password)
            # Its lines end with LF, as `as_bytes()` makes them, and go onto the wire like that.
            smtp.sendmail(REVERSE_PATH, [to], letter(to), ["BODY=8BITMIME"])

    await asyncio.to_thread(send)


async def by_swaks(way: Way, to: str) -> None:
    """The tester's tool."""
    tls = {"off": (), "starttls": ("--tls",), "implicit": ("--tls-on-connect",)}[way.tls]
    verify = ("--tls-verify", "--tls-ca-path", str(way.ca)) if way.tls != "off" else ()
    auth = ("--auth", "LOGIN", "-au", way.username, "-ap", way.password) if way.username else ()
    await run(
        *("swaks", "--server", "127.0.0.1", "--port", str(way.port), "--from", REVERSE_PATH),
        *("--to", to, "--data", "-", "--suppress-data", *tls, *verify, *auth),
        stdin=letter(to),
    )


async def by_curl(way: Way, to: str) -> None:
    """What shell scripts use."""
    scheme = "smtps" if way.tls == "implicit" else "smtp"
    tls = ("--ssl-reqd", "--cacert", str(way.ca)) if way.tls != "off" else ()
    auth = ("--user", f"{way.username}:{way.password}") if way.username else ()
    await run(
        *("curl", "-sS", "--crlf", "--url", f"{scheme}://127.0.0.1:{way.port}"),
        *("--mail-from", REVERSE_PATH, "--mail-rcpt", to, "--upload-file", "-", *tls, *auth),
        stdin=letter(to),
    )


async def by_msmtp(way: Way, to: str) -> None:
    """A sendmail for machines without one; GnuTLS."""
    tls = "off" if way.tls == "off" else "on"
    trust = (f"--tls-trust-file={way.ca}",) if tls == "on" else ()
    starttls = "on" if way.tls == "starttls" else "off"
    auth = (
        ("--auth=login", f"--user={way.username}", f"--passwordeval=echo {way.password}")
        if way.username
        else ("--auth=off",)
    )
    await run(
        *("msmtp", "--file=/dev/null", "--host=localhost", f"--port={way.port}", f"--tls={tls}"),
        *(f"--tls-starttls={starttls}", *trust, *auth, f"--from={REVERSE_PATH}", to),
        stdin=letter(to),
    )


async def by_s_nail(way: Way, to: str) -> None:
    """The mailx of today."""
    scheme = "smtps" if way.tls == "implicit" else "smtp"
    login = f"{way.username}:{way.password}@" if way.username else ""
    await run(
        *("s-nail", "-:/", "-Sv15-compat", f"-Smta={scheme}://{login}localhost:{way.port}"),
        *("-Ssmtp-auth=plain" if way.username else "-Ssmtp-auth=none", f"-Sfrom={REVERSE_PATH}"),
        *(("-Ssmtp-use-starttls",) if way.tls == "starttls" else ()),
        *("-Stls-verify=strict", f"-Stls-ca-file={way.ca}", "-Stls-ca-no-defaults"),
        *("-Sttycharset=utf-8", "-Ssendwait", "-s", SUBJECT, to),
        stdin=TEXT.encode(),
        more={"LC_ALL": "C.UTF-8"},
    )


async def by_nodemailer(way: Way, to: str) -> None:
    """Node's."""
    await run(
        "node",
        str(HERE / "nodemailer.cjs"),
        *_arguments(way, to),
        more={"NODE_PATH": str(NODE / "node_modules")},
    )


async def by_phpmailer(way: Way, to: str) -> None:
    """PHP's."""
    await run("php", str(HERE / "phpmailer.php"), *_arguments(way, to))


async def by_net_smtp(way: Way, to: str) -> None:
    """Perl's."""
    await run("perl", str(HERE / "net_smtp.pl"), *_arguments(way, to), stdin=letter(to))


async def by_ruby(way: Way, to: str) -> None:
    """Ruby's: the mail library on net/smtp."""
    await run("ruby", "-W0", str(HERE / "mail.rb"), *_arguments(way, to))


def _arguments(way: Way, to: str) -> tuple[str, ...]:
    """What each of our scripts is told, in this order."""
    return (
        *(str(way.port), way.tls, way.username, way.password, str(way.ca)),
        *(REVERSE_PATH, to, SUBJECT, TEXT),
    )


def _nodemailer_missing() -> str:
    if not (NODE / "node_modules/nodemailer").is_dir():
        return "nodemailer is not installed; `make test` does, where there is npm"
    return needs("node")()


def _phpmailer_missing() -> str:
    if not Path("/usr/share/php/libphp-phpmailer/autoload.php").exists():
        return "PHPMailer is not installed, and that needs root"
    return needs("php")()


PROGRAMS = (
    Program("smtplib", by_smtplib, needs()),
    Program("swaks", by_swaks, needs("swaks")),
    Program("curl", by_curl, needs("curl")),
    Program("msmtp", by_msmtp, needs("msmtp")),
    Program("s-nail", by_s_nail, needs("s-nail")),
    Program("nodemailer", by_nodemailer, _nodemailer_missing),
    Program("PHPMailer", by_phpmailer, _phpmailer_missing),
    Program("Net::SMTP", by_net_smtp, needs("perl")),
    Program("ruby-mail", by_ruby, needs("ruby")),
)

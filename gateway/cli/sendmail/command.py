"""
The program sendmail: standard input and arguments in, a sysexits code out.

It reads what it needs of the configuration where it may; programs of other users, which may not,
have MAILQUAY_SMTP and MAILQUAY_MAILDROP, or the listener and folder that are usual.
"""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from gateway.cli.output import fail, print_line
from gateway.cli.sendmail.compose import BadAddress, Caller, NoRecipients, compose
from gateway.cli.sendmail.options import SendmailOptions, Task, UsageError, parse_options
from gateway.cli.sendmail.session import speak
from gateway.cli.sendmail.submit import Target, parse_target, submit
from gateway.config import load, plain_word
from gateway.config.smtp import ListenerSettings
from gateway.errors import ConfigError
from gateway.ingress.policy import Auth, Tls

_USUAL_TARGET = "127.0.0.1:2525"
_USUAL_SIZE = 25 << 20


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where letters go from here, how large they may be, and what this machine is called."""

    target: Target | None
    maildrop: Path | None
    max_octets: int
    hostname: str


def run_sendmail(words: Sequence[str]) -> int:
    """Do what a command line says, the program's name left out; returns a sysexits code."""
    try:
        options = parse_options(words)
    except UsageError as error:
        fail(f"sendmail: {error}", os.EX_USAGE)
    if options.task in {Task.ALIASES, Task.FLUSH}:
        return os.EX_OK
    if options.task is Task.LIST:
        print_line("mailquay queue list shows the queue")
        return os.EX_OK
    around = _surroundings(options)
    if options.task is Task.SPEAK_SMTP:
        return speak(around.target, sys.stdin.buffer, sys.stdout.buffer)
    return _send(options, around)


def _send(options: SendmailOptions, around: Surroundings) -> int:
    written = read_letter(sys.stdin.buffer, around.max_octets, dot_is_text=options.dot_is_text)
    if written is None:
        fail(f"sendmail: the letter is larger than {around.max_octets} octets", os.EX_DATAERR)
    try:
        letter = compose(written, options, _caller(around.hostname), datetime.now().astimezone())
    except NoRecipients:
        fail("sendmail: no recipients are named; -t reads them from the header", os.EX_USAGE)
    except BadAddress as error:
        fail(f"sendmail: {error}", os.EX_DATAERR)
    done = submit(letter, around.target, around.maildrop)
    if done.code != os.EX_OK:
        fail(f"sendmail: {done.told}", done.code)
    if options.verbose:
        print_line(done.told)
    return done.code


def read_letter(source: BinaryIO, max_octets: int, *, dot_is_text: bool) -> bytes | None:
    """
    What stands on standard input, to its end or to the line with a lone dot.

    Returns:
        `None` when it is larger than `max_octets`; no more than that is held.
    """
    if dot_is_text:
        written = source.read(max_octets + 1)
        return written if len(written) <= max_octets else None
    lines: list[bytes] = []
    held = 0
    while line := source.readline(max_octets + 1 - held):
        if line in {b".\n", b".\r\n", b"."}:
            break
        held += len(line)
        if held > max_octets:
            return None
        lines.append(line)
    return b"".join(lines)


def _caller(hostname: str) -> Caller:
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return Caller(f"uid{os.getuid()}", os.environ.get("NAME", ""), hostname)
    gecos = entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
    return Caller(entry.pw_name, os.environ.get("NAME", "") or gecos, hostname)


def _surroundings(options: SendmailOptions) -> Surroundings:
    given, folder = (plain_word(name) for name in ("MAILQUAY_SMTP", "MAILQUAY_MAILDROP"))
    around = _configured(options.config)
    try:
        target = parse_target(given) if given else around.target
    except ValueError as error:
        fail(f"sendmail: MAILQUAY_SMTP: {error}", os.EX_CONFIG)
    return Surroundings(
        target, Path(folder) if folder else around.maildrop, around.max_octets, around.hostname
    )


def _configured(config: Path | None) -> Surroundings:
    """What the configuration says, or what is usual where this user may not read it."""
    try:
        settings = load(config)
    except ConfigError as error:
        if config is not None:
            raise
        del error  # another user's file, or none: a program that sends mail need not know of it
        return Surroundings(parse_target(_USUAL_TARGET), None, _USUAL_SIZE, _own_name())
    return Surroundings(
        _target(settings.smtp.listeners),
        settings.maildrop.place(settings.spool.url),
        settings.smtp.max_message_size,
        settings.hostname,
    )


def _target(listeners: Sequence[ListenerSettings]) -> Target | None:
    """The first listener that takes letters without TLS and login, a socket before others."""
    clear = {Tls.OFF, Tls.STARTTLS}
    usable = [x for x in listeners if x.tls in clear and x.auth is not Auth.REQUIRED]
    for listener in usable:
        if listener.socket is not None:
            return Target(str(listener.socket), 0)
    for listener in usable:
        if listener.port:
            anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up only
            return Target(anywhere.get(listener.host, listener.host), listener.port)
    return None


def _own_name() -> str:
    name = socket.getfqdn()
    return name if name.isascii() and " " not in name and name else "localhost"

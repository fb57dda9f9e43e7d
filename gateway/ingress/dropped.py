"""
A letter in a file of the maildrop: written durably, and read without trust in its writer.

One line of JSON with the envelope, then the content. `mailquay sendmail` writes, `maildrop` reads;
both may be other users' processes. A power cut leaves all of a letter or nothing of it. Blocks.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.contract.address import parse_address
from providers.contract.envelope import BodyType, Envelope, Notify, Recipient, Ret

SUFFIX = ".letter"
UNFINISHED = ".part"

_VERSION = 1
_LONGEST_ENVELOPE = 1 << 20  # octets: a thousand recipients take a tenth of it
_LINE_END = re.compile(rb"\r\n|\r|\n")


class NotALetter(Exception):
    """A file in the maildrop that cannot be taken; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A letter that was left: its envelope, its content with CRLF line ends, and whose it is."""

    envelope: Envelope
    content: bytes
    owner: int


def drop(folder: Path, envelope: Envelope, content: bytes) -> Path:
    """
    Leave a letter for the daemon; durable on return.

    The file is its writer's, and readable by the folder's group where that is handed down (setgid).

    Raises:
        OSError: It could not be written; nothing is left of it.
    """
    shared = folder.stat().st_mode & stat.S_ISGID
    name = f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(4)}"
    unfinished, whole = folder / f"{name}{UNFINISHED}", folder / f"{name}{SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(unfinished, flags, 0o600)
    try:
        with os.fdopen(file, "wb") as writer:
            if shared:
                os.fchmod(file, 0o640)  # whatever the umask: the daemon reads it by its group
            writer.write(_line_from(envelope))
            writer.write(content)
            writer.flush()
            os.fsync(file)
        unfinished.rename(whole)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_names(folder)
    return whole


def read(path: Path, max_octets: int, max_recipients: int) -> Dropped:
    """
    The letter in a file.

    Args:
        path: Of the file.
        max_octets: The largest content to take.
        max_recipients: The most recipients.

    Raises:
        NotALetter: It is no plain file of one name, or does not hold a letter.
        OSError: It cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as reader:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise NotALetter("it is no plain file of one name")
        line = reader.readline(_LONGEST_ENVELOPE)
        content = reader.read(max_octets + 1)
    if len(content) > max_octets:
        raise NotALetter(f"it is larger than {max_octets} octets")
    envelope = _envelope_from(line)
    if len(envelope.recipients) > max_recipients:
        raise NotALetter(f"it has more than {max_recipients} recipients")
    return Dropped(envelope, whole_line_ends(content), found.st_uid)


def whole_line_ends(content: bytes) -> bytes:
    """The content with CRLF at the end of each line, the last one too."""
    content = _LINE_END.sub(b"\r\n", content)
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


def _line_from(envelope: Envelope) -> bytes:
    notify = envelope.recipients[0].notify
    given = {
        "version": _VERSION,
        "reverse_path": None if envelope.reverse_path is None else envelope.reverse_path.text,
        "recipients": [recipient.forward_path.text for recipient in envelope.recipients],
        "body": str(envelope.body),
        "smtputf8": envelope.smtputf8,
        "ret": None if envelope.ret is None else str(envelope.ret),
        "envid": envelope.envid,
        "notify": None if notify is None else sorted(map(str, notify)),
    }
    return json.dumps(given).encode() + b"\n"


def _envelope_from(line: bytes) -> Envelope:
    try:
        given: dict[str, Any] = json.loads(line)
        if given["version"] != _VERSION:
            raise NotALetter("it was written by another version")
        notify = given["notify"]
        wanted = None if notify is None else frozenset(map(Notify, notify))
        reverse_path = given["reverse_path"]
        return Envelope(
            None if reverse_path is None else parse_address(reverse_path),
            tuple(
                Recipient(key, parse_address(text), None, wanted)
                for key, text in enumerate(given["recipients"])
            ),
            BodyType(given["body"]),
            bool(given["smtputf8"]),
            None if given["ret"] is None else Ret(given["ret"]),
            given["envid"],
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotALetter("its envelope cannot be read") from error


def _sync_names(folder: Path) -> None:
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        os.sync()  # whoever may write into a folder need not be allowed to look into it
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

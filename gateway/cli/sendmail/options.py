"""
The command line of sendmail(1), as programs of forty years write it.

Pure. What other sendmails accept and do nothing with is accepted here too: a program that is
refused for `-oem` sends no mail at all. Sources: the manual pages of Postfix and msmtp.
"""

from __future__ import annotations

import getopt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from providers.contract.envelope import Notify, Ret

# A colon: with a value, attached or as the next word.
_LETTERS = "A:B:C:F:GL:N:O:R:UV:X:b:f:h:imno:p:r:stv"
# A value only where it is attached, which getopt does not know.
_ATTACHED_ONLY = ("-q", "-d", "-I", "-D")


class Task(StrEnum):
    """What is asked for, the letter behind `-b`."""

    SEND = "m"
    SPEAK_SMTP = "s"
    ALIASES = "i"  # newaliases: there are none to make
    LIST = "p"  # mailq
    FLUSH = "q"  # the daemon looks after its queue itself


class UsageError(Exception):
    """A command line that cannot be understood; the text is one line."""


@dataclass(frozen=True, slots=True)
class SendmailOptions:
    """
    What the command line says.

    Attributes:
        task: What to do.
        recipients: Named on the command line.
        from_header: `-t`: read To, Cc and Bcc for further recipients.
        dot_is_text: `-i`: a line with a lone dot does not end the letter.
        sender: `-f`: the reverse-path; empty for the null one, `None` where it is not given.
        full_name: `-F`: for a From that is to be made.
        eight_bit: `-B8BITMIME`.
        notify: `-N`.
        ret: `-R`.
        envid: `-V`.
        verbose: `-v`: tell what the daemon says.
        config: `-C`: our configuration file.
    """

    task: Task = Task.SEND
    recipients: tuple[str, ...] = ()
    from_header: bool = False
    dot_is_text: bool = False
    sender: str | None = None
    full_name: str = ""
    eight_bit: bool = False
    notify: frozenset[Notify] | None = None
    ret: Ret | None = None
    envid: str | None = None
    verbose: bool = False
    config: Path | None = None


def parse_options(words: Sequence[str]) -> SendmailOptions:
    """
    Read a command line, the program's name left out.

    Raises:
        UsageError: An option is unknown, lacks its value, or has one that is none.
    """
    before, after = _cut(words)
    flush = any(word.startswith("-q") for word in before)
    kept = [word for word in before if not word.startswith(_ATTACHED_ONLY)]
    try:
        options, recipients = getopt.gnu_getopt(kept, _LETTERS)
    except getopt.GetoptError as error:
        raise UsageError(error.msg) from None
    found: dict[str, object] = {"task": Task.FLUSH} if flush else {}
    for option, value in options:
        if setting := _SETTINGS.get(option[1]):
            name, convert = setting
            found[name] = convert(value)
        elif option == "-o" and value == "i":
            found["dot_is_text"] = True
    return SendmailOptions(recipients=(*recipients, *after), **found)  # type: ignore[arg-type]


def _cut(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before `--`, and what after it."""
    words = list(words)
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def _task(value: str) -> Task:
    try:
        return Task(value)
    except ValueError:
        raise UsageError(
            f"-b{value} is not for this program; the daemon is `mailquay serve`"
        ) from None


def _notify(value: str) -> frozenset[Notify]:
    try:
        wanted = frozenset(Notify(word.strip().upper()) for word in value.split(","))
    except ValueError:
        raise UsageError("-N takes never, or some of success, failure and delay") from None
    if Notify.NEVER in wanted and len(wanted) > 1:
        raise UsageError("-N never stands alone")
    return wanted


def _ret(value: str) -> Ret:
    try:
        return Ret(value.upper())
    except ValueError:
        raise UsageError("-R takes full or hdrs") from None


def _envid(value: str) -> str:
    if not 0 < len(value) <= 100 or not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError("-V takes one word of at most 100 ASCII characters")
    return value


def _sender(value: str) -> str:
    return value.strip().removeprefix("<").removesuffix(">")


def _yes(_value: str) -> bool:
    return True


# What each option sets; those that are missing here are accepted and mean nothing.
_SETTINGS: dict[str, tuple[str, Callable[[str], object]]] = {
    "t": ("from_header", _yes),
    "i": ("dot_is_text", _yes),
    "f": ("sender", _sender),
    "r": ("sender", _sender),
    "F": ("full_name", str),
    "B": ("eight_bit", lambda value: value.upper() == "8BITMIME"),
    "N": ("notify", _notify),
    "R": ("ret", _ret),
    "V": ("envid", _envid),
    "v": ("verbose", _yes),
    "C": ("config", Path),
    "b": ("task", _task),
}

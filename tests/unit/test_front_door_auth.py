"""TLS and AUTH in the dialogue, and the check of passwords, without a wire."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace

import argon2
import pytest

from gateway.ingress import credentials as credentials_module
from gateway.ingress import replies
from gateway.ingress.credentials import REMEMBERED_FOR_S, CredentialCheck, TooManyChecks
from gateway.ingress.dialogue import Dialogue
from gateway.ingress.limits import LimitRules, Limits
from gateway.ingress.policy import Auth, FrontDoorRules, Tls
from gateway.ingress.reception import Reception
from gateway.ingress.sasl import Credentials
from gateway.ingress.tls import ServerTls
from gateway.ingress.users import User
from tests.support.fake_intake import FakeIntake
from tests.support.session_counts import SessionCounts

RULES = FrontDoorRules("gateway.example.com", auth=Auth.OPTIONAL)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
USERS = {"app": User("app", QUICK.hash("secret"), frozenset({"@example.com"}))}
PLAIN = base64.b64encode(b"\0app\0secret").decode()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_dialogue(
    rules: FrontDoorRules = RULES,
    *,
    address: str = "127.0.0.1",
    tls: bool = False,
    limits: Limits | None = None,
    certificate: ServerTls | None = None,
) -> Dialogue:
    reception = Reception(rules, FakeIntake(), SessionCounts(), limits=limits, tls=certificate)
    return Dialogue(reception, address, tls=tls)


def lines(dialogue: Dialogue, line: str) -> list[str]:
    return dialogue.answer(line.encode()).line().decode().splitlines()


def codes(dialogue: Dialogue, *said: str) -> list[int]:
    return [dialogue.answer(line.encode()).code for line in said]


@pytest.mark.parametrize(
    "said",
    [
        [f"AUTH PLAIN {PLAIN}"],
        ["AUTH PLAIN", PLAIN],
        [f"auth plain {PLAIN.rstrip('=')}"],
        ["AUTH LOGIN", "YXBw", "c2VjcmV0"],
        ["AUTH LOGIN YXBw", "c2VjcmV0"],
        ["auth login", "YXBw", "c2VjcmV0"],
    ],
)
async def test_ways_to_authenticate(said: list[str]) -> None:
    """T17: mechanisms in any case, with and without an initial response."""
    dialogue = a_dialogue()
    assert codes(dialogue, "EHLO a", *said[:-1]) == [250] + [334] * (len(said) - 1)
    assert dialogue.credentials is None
    dialogue.answer(said[-1].encode())
    assert dialogue.credentials == Credentials("app", "secret")
    assert dialogue.welcome(USERS["app"]).code == 235
    assert (dialogue.client.user, dialogue.credentials) == ("app", None)


async def test_nobody_is_in_before_the_check() -> None:
    """The reply that stands where nobody checks is a refusal."""
    dialogue = a_dialogue(replace(RULES, auth=Auth.REQUIRED))
    codes(dialogue, "EHLO a")
    assert dialogue.answer(f"AUTH PLAIN {PLAIN}".encode()) is replies.AUTH_FAILED
    assert dialogue.client.user == ""
    assert codes(dialogue, "MAIL FROM:<a@example.com>") == [530]


async def test_cancelled_auth() -> None:
    """RFC 4954 4: 501, and the next line is a command again."""
    dialogue = a_dialogue()
    assert codes(dialogue, "EHLO a", "AUTH LOGIN", "*", "NOOP") == [250, 334, 501, 250]
    assert codes(dialogue, "AUTH PLAIN", "!", "NOOP") == [334, 501, 250]


async def test_auth_out_of_its_place() -> None:
    """RFC 4954 4: before EHLO, twice, within a letter; and what is not offered at all."""
    dialogue = a_dialogue()
    assert codes(dialogue, "AUTH LOGIN") == [503]
    assert codes(dialogue, "EHLO a", "AUTH", "AUTH CRAM-MD5", "NOOP") == [250, 501, 504, 250]
    codes(dialogue, "MAIL FROM:<a@example.com>")
    assert codes(dialogue, "AUTH LOGIN") == [503]
    codes(dialogue, "RSET")
    dialogue.welcome(USERS["app"])
    assert codes(dialogue, "AUTH LOGIN") == [503]
    assert codes(a_dialogue(replace(RULES, auth=Auth.OFF)), "EHLO a", "AUTH LOGIN") == [250, 502]


async def test_auth_is_offered_where_it_is_taken() -> None:
    """In the clear on this machine only, for old clients too; 538 to who tries all the same."""
    both = {"250-AUTH PLAIN LOGIN", "250-AUTH=PLAIN LOGIN"}
    assert both <= set(lines(a_dialogue(), "EHLO a"))
    far = a_dialogue(address="192.0.2.1")
    assert not any("AUTH" in line for line in lines(far, "EHLO a"))
    assert codes(far, f"AUTH PLAIN {PLAIN}") == [538]
    assert far.credentials is None
    secured = a_dialogue(address="192.0.2.1", tls=True)
    assert both <= set(lines(secured, "EHLO a"))
    secured.welcome(USERS["app"])
    assert not any("AUTH" in line for line in lines(secured, "EHLO a"))


async def test_allowed_senders() -> None:
    """553 5.7.1 to a reverse-path that is not the user's; the session goes on."""
    dialogue = a_dialogue()
    codes(dialogue, "EHLO a")
    dialogue.welcome(USERS["app"])
    said = ["MAIL FROM:<a@example.org>", "MAIL FROM:<>", "MAIL FROM:<a@example.com>"]
    assert codes(dialogue, *said) == [553, 553, 250]


async def test_shut_out_address() -> None:
    """421 before anything is checked, and the session is over."""
    limits = Limits(LimitRules(auth_failures=1), Clock())
    limits.login_failed("127.0.0.1")
    dialogue = a_dialogue(limits=limits)
    codes(dialogue, "EHLO a")
    assert dialogue.answer(b"AUTH LOGIN") is replies.AUTH_SHUT_OUT


async def test_demanded_tls_comes_first() -> None:
    """RFC 3207 4: 530 to all that could matter; BDAT's octets are read all the same."""
    tls = ServerTls({}, None)  # type: ignore[arg-type] # nobody shakes hands here
    rules = replace(RULES, tls=Tls.REQUIRED)
    dialogue = a_dialogue(rules, certificate=tls)
    said = lines(dialogue, "EHLO a")
    assert "250-STARTTLS" in said
    assert not any("AUTH" in line for line in said)
    refused = ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA", "VRFY a"]
    assert codes(dialogue, *refused, f"AUTH PLAIN {PLAIN}", "XYZZY") == [530] * 6
    assert dialogue.credentials is None
    assert codes(dialogue, "BDAT 5 LAST") == [503]
    assert dialogue.chunk is not None
    assert codes(dialogue, "NOOP", "STARTTLS x", "STARTTLS") == [250, 501, 220]
    dialogue.secured()
    assert codes(dialogue, "MAIL FROM:<a@example.com>") == [503]  # who it is must be said again
    said = lines(dialogue, "EHLO a")
    assert not any("STARTTLS" in line for line in said)
    assert codes(dialogue, "STARTTLS", "MAIL FROM:<a@example.com>") == [503, 250]


async def test_starttls_out_of_its_place() -> None:
    """Within a letter, where it is off, where there is no certificate."""
    rules = replace(RULES, tls=Tls.STARTTLS)
    dialogue = a_dialogue(rules)
    assert codes(dialogue, "EHLO a", "MAIL FROM:<>", "STARTTLS") == [250, 250, 503]
    assert codes(dialogue, "RSET", "STARTTLS") == [250, 454]
    assert codes(a_dialogue(), "EHLO a", "STARTTLS") == [250, 502]


async def test_what_was_said_in_the_clear_is_forgotten() -> None:
    """RFC 3207 4.2: the name, the user, all of it."""
    dialogue = a_dialogue(replace(RULES, tls=Tls.STARTTLS))
    codes(dialogue, "EHLO before.example.com")
    dialogue.welcome(USERS["app"])
    dialogue.secured()
    assert (dialogue.client.helo, dialogue.client.user, dialogue.client.tls) == ("", "", True)


async def test_letters_of_a_session() -> None:
    """RFC 9422: MAILMAX is told, and 421 after so many."""
    dialogue = a_dialogue(replace(RULES, max_letters=1, max_recipients=7))
    assert "250-LIMITS RCPTMAX=7 MAILMAX=1" in lines(dialogue, "EHLO a")
    codes(dialogue, "MAIL FROM:<>", "RCPT TO:<b@example.org>", "DATA")
    dialogue.take_envelope()
    assert dialogue.answer(b"MAIL FROM:<>") is replies.TOO_MANY_LETTERS


async def test_commands_without_a_letter() -> None:
    """A session that says much and hands in nothing ends; a letter begins the count anew."""
    dialogue = a_dialogue(replace(RULES, max_commands=5))
    codes(dialogue, "EHLO a", "MAIL FROM:<>", "RCPT TO:<b@example.org>", "DATA")
    assert dialogue.has_gone_wrong is None
    dialogue.take_envelope()
    codes(dialogue, *["NOOP"] * 4)
    assert dialogue.has_gone_wrong is None
    codes(dialogue, "NOOP")
    assert dialogue.has_gone_wrong is replies.TOO_MANY_COMMANDS


# The check of passwords.


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_check(clock: Clock, users: Mapping[str, User] = USERS) -> CredentialCheck:
    return CredentialCheck(users, clock)


async def test_right_and_wrong(clock: Clock) -> None:
    """The user for the right password, nobody for a wrong one or an unknown name."""
    check = a_check(clock)
    assert await check.verify(Credentials("app", "secret")) is USERS["app"]
    assert await check.verify(Credentials("app", "Secret")) is None
    assert await check.verify(Credentials("APP", "secret")) is None
    assert await check.verify(Credentials("nobody", "secret")) is None
    check.close()


async def test_unknown_name_costs_what_a_known_one_does(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who measures the time learns no names: one check each, of a hash with the same parameters."""
    checked: list[object] = []
    right = credentials_module._is_right

    def count(stored: str, password: str) -> bool:
        checked.append(argon2.extract_parameters(stored))
        return right(stored, password)

    monkeypatch.setattr(credentials_module, "_is_right", count)
    check = a_check(clock)
    for name in ("app", "nobody", "other"):
        assert await check.verify(Credentials(name, "wrong")) is None
    assert len(checked) == 3
    assert len(set(map(repr, checked))) == 1
    check.close()


async def test_success_is_remembered_for_a_while(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client with a connection for each letter is not checked each time; failures always are."""
    check = a_check(clock)
    assert await check.verify(Credentials("app", "secret")) is USERS["app"]
    with monkeypatch.context() as patch:
        patch.setattr(credentials_module, "_is_right", lambda *_: False)
        assert await check.verify(Credentials("app", "secret")) is USERS["app"]
        assert await check.verify(Credentials("app", "wrong")) is None
        clock.now += REMEMBERED_FOR_S
        assert await check.verify(Credentials("app", "secret")) is None
    assert b"secret" not in b"".join(check._remembered)
    check.close()


async def test_new_users_are_the_only_ones(clock: Clock) -> None:
    """After a reload an old password is wrong at once, remembered or not."""
    check = a_check(clock)
    assert await check.verify(Credentials("app", "secret"))
    new = {"app": User("app", QUICK.hash("other"))}
    await asyncio.to_thread(check.replace_users, new)
    assert await check.verify(Credentials("app", "secret")) is None
    assert await check.verify(Credentials("app", "other")) is new["app"]
    check.replace_users({})
    assert await check.verify(Credentials("app", "other")) is None
    check.close()


async def test_checks_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of logins costs no more memory and time than is set aside for it."""
    monkeypatch.setattr(credentials_module, "_MOST_WAITING", 3)
    check = a_check(clock)
    results = await asyncio.gather(
        *(check.verify(Credentials("app", str(n))) for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, TooManyChecks) for result in results) == 7
    assert await check.verify(Credentials("app", "secret")) is USERS["app"]
    check.close()


async def test_successes_remembered_are_bounded(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many users there are."""
    monkeypatch.setattr(credentials_module, "_MOST_REMEMBERED", 2)
    users = {name: User(name, QUICK.hash("secret")) for name in ("a", "b", "c", "d")}
    check = a_check(clock, users)
    for name in users:
        assert await check.verify(Credentials(name, "secret"))
    assert len(check._remembered) == 2
    check.close()

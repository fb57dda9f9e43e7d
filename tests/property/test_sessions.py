"""Whole sessions at random: no crash, no hang, nothing held, no reply that tells of a mistake."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.session_trial import try_session

LETTER = b"Subject: a\r\n\r\n..b\r\n"
WORDS = st.sampled_from(
    [
        *(b"EHLO a\r\n", b"HELO a\r\n", b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<> SIZE=9999\r\n"),
        *(b"RCPT TO:<b@c>\r\n", b"RCPT TO:<d@e>\r\n", b"RCPT TO:<x\r\n", b"DATA\r\n", b"data\r\n"),
        *(b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\r\n.\n", b"BDAT 5\r\nab\r\nc", b"BDAT 0 LAST\r\n"),
        *(b"BDAT 5 LAST\r\nabcde", b"BDAT 9000\r\n", b"BDAT x\r\n", b"RSET\r\n", b"NOOP\r\n"),
        *(b"QUIT\r\n", b"VRFY a\r\n", b"STARTTLS\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"HELP\r\n"),
        *(b"AUTH LOGIN\r\n", b"AUTH LOGIN YXBw\r\n", b"YXBw\r\n", b"*\r\n", b"YXB\r\n"),
        *(
            b"AUTH PLAIN AGFwcABi\r\n",
            b"AUTH PLAIN\r\n",
            b"AUTH LOGIN =\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b".",
            b"x" * 3000,
            b"y" * 2500 + b"\r\n",
        ),
        LETTER,
    ]
)
BEGINNING = st.sampled_from([b"", b"EHLO a\r\n", b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@c>\r\n"])
SAID = st.builds(
    lambda beginning, words: beginning + b"".join(words),
    BEGINNING,
    st.lists(WORDS | WORDS | WORDS | st.binary(max_size=6), max_size=15),
)
CUTS = st.lists(st.integers(0, 4000), max_size=8)


@given(SAID, CUTS)
async def test_any_session_ends_well(said: bytes, cuts: list[int]) -> None:
    """T11, T14, T18: whatever is said, however it is cut."""
    await try_session(said, cuts)


@given(SAID, CUTS)
async def test_cuts_make_no_difference(said: bytes, cuts: list[int]) -> None:
    """T18: the same octets are the same letters, in one piece or in many."""
    assert await try_session(said, cuts) == await try_session(said)

"""Octets become replies: lines, continuations, limits."""

from __future__ import annotations

import pytest

from providers.smarthost.reader import MAX_REPLY, ReplyReader, UnreadableReply
from providers.smarthost.replies import Reply


def test_one_and_several_lines():
    """A reply is whole with the line whose code a blank follows, or nothing."""
    reader = ReplyReader()
    assert list(reader.feed(b"250-one\r\n250-\r\n")) == []
    assert list(reader.feed(b"250 three\r\n354\r\n")) == [
        Reply(250, ("one", "", "three")),
        Reply(354, ("",)),
    ]


def test_bare_lf_is_forgiven():
    """Some servers end lines so."""
    assert list(ReplyReader().feed(b"250 Ok\n")) == [Reply(250, ("Ok",))]


def test_text_that_is_not_utf8_is_kept_as_well_as_it_can():
    """The code counts; the text is for people."""
    (reply,) = ReplyReader().feed(b"550 \xcd\xe5\xf2 user\r\n")
    assert reply.code == 550
    assert reply.text.endswith(" user")


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"hello\r\n",
        b"25\r\n",
        b"2500 Ok\r\n",
        b"250_Ok\r\n",
        b"150 Ok\r\n",
        b"650 Ok\r\n",
        b"\xd9\xa2\xd9\xa5\xd9\xa0 Ok\r\n",
        b"<html>\r\n",
        b"250-Ok\r\n550 no\r\n",
    ],
)
def test_what_is_no_reply(octets: bytes):
    """A line without a code of SMTP, or two codes in one reply, cannot be believed."""
    with pytest.raises(UnreadableReply):
        list(ReplyReader().feed(octets))


def test_what_was_whole_before_the_rubbish_counts():
    """An acceptance with rubbish behind it is an acceptance."""
    replies = []
    with pytest.raises(UnreadableReply):
        replies.extend(ReplyReader().feed(b"250 Ok\r\nrubbish\r\n"))
    assert replies == [Reply(250, ("Ok",))]


@pytest.mark.parametrize("more", [b"x" * 1000, b"250-more\r\n"])
def test_a_reply_without_an_end_is_given_up(more: bytes):
    """T14's other side: a server cannot fill our memory, by one line or by many."""
    reader = ReplyReader()
    list(reader.feed(b"250-" if more.startswith(b"x") else b""))
    for _ in range((MAX_REPLY - 4) // len(more)):
        assert list(reader.feed(more)) == []
    with pytest.raises(UnreadableReply) as caught:
        list(reader.feed(more))
    assert len(str(caught.value)) < 300


def test_the_limit_is_for_each_reply():
    """A long session is not a long reply."""
    reader = ReplyReader()
    line = b"250 " + b"x" * 1000 + b"\r\n"
    for _ in range(2 * MAX_REPLY // len(line)):
        assert len(list(reader.feed(line))) == 1

"""What the HTTP adapters write can be read back, and whatever they read does not upset them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.contract.address import parse_address
from providers.contract.outcome import DeliveryOutcome, Kind, accepted
from providers.form_v2.letters import content_from
from providers.form_v2.wire import answers as v2_answers
from providers.form_v2.wire.forms import build_send_email
from providers.http.composition import Composition, Submission, compose
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.http.forms import FormFile, build_multipart, build_urlencoded
from providers.http.verdict import LONGEST_WAIT, MAX_DIAGNOSTIC, SHORTEST_WAIT
from providers.mime import Attachment, Mailbox, ParsedLetter, parse_letter
from providers.rest_v1 import wire as rest_v1
from tests.support.forms import read_multipart

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOB = parse_address("bob@example.org")
SENT = Submission(HttpRequest("POST", "/"), ("a.pdf",))

quick = settings(max_examples=100, deadline=None)  # a busy machine is no failure

# What `providers.mime` promises of its texts: encodable, and single lines without controls.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "errors",
                    "error",
                    "code",
                    "detail",
                    "message",
                    "status",
                    "result",
                    "email_id",
                ]
            )
            | st.just("attachments"),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)
bodies = st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode())
headers = st.dictionaries(
    st.sampled_from(["retry-after", "date", "content-type"]),
    st.text(max_size=40) | st.sampled_from(["7", "Thu, 01 Jan 2026 12:00:30 -2359", "0" * 30]),
)
answers = st.builds(
    HttpAnswer,
    st.sampled_from([200, 201, 204, 302, 400, 401, 422, 429, 500, 503]) | st.integers(0, 1000),
    headers,
    bodies,
)


def read_v2(answer: HttpAnswer, now: datetime, _: Submission) -> DeliveryOutcome:
    sent = v2_answers.read_email_sent(answer, now)
    return sent if isinstance(sent, DeliveryOutcome) else accepted(sent.email_id)


@quick
@given(answers, st.sampled_from([rest_v1.read_answer, read_v2]))
def test_no_answer_upsets_a_reader(answer: HttpAnswer, read: Any) -> None:
    """Any status, header and body give an outcome, and only a 2xx can be a success."""
    outcome = read(answer, NOW, SENT)
    success = 200 <= answer.status <= 299
    assert success or outcome.kind is not Kind.ACCEPTED
    assert len(outcome.diagnostic) <= MAX_DIAGNOSTIC
    assert outcome.diagnostic.isprintable() or not outcome.diagnostic.isascii()
    assert len(outcome.provider_message_id) <= MAX_DIAGNOSTIC
    if outcome.retry_after is not None:
        assert SHORTEST_WAIT <= outcome.retry_after <= LONGEST_WAIT


@quick
@given(st.integers(0, 10**12), st.sampled_from(["retry in {} seconds", "{} second"]))
def test_every_named_wait_is_kept_within_bounds(seconds: int, sentence: str) -> None:
    """T3: the number in the text, never negative, never for ever."""
    answer = HttpAnswer(429, {}, json.dumps({"message": sentence.format(seconds)}).encode())
    wait = rest_v1.read_answer(answer, NOW).retry_after
    if seconds < 10**9:
        assert wait == max(SHORTEST_WAIT, min(timedelta(seconds=seconds), LONGEST_WAIT))
    else:
        assert wait is None  # no wait that anybody means


@quick
@given(st.dictionaries(lines, texts, max_size=5))
def test_urlencoded_forms_read_back(fields: dict[str, str]) -> None:
    """Names and values survive, whatever they hold (T26)."""
    _, body = build_urlencoded(fields.items())
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body))
    assert dict(pairs) == fields


field_names = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789[]_-", min_size=1
)


@quick
@given(
    st.dictionaries(field_names, texts, max_size=4),
    st.lists(
        st.builds(
            FormFile,
            st.just("attachments[]"),
            lines.filter(bool),
            st.sampled_from(["application/pdf", "text/plain"]),
            st.binary(max_size=200) | st.just(b"\r\n--boundary--\r\n"),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_multipart_forms_read_back(fields: dict[str, str], files: list[FormFile]) -> None:
    """No value, file name or content ends its part early (T26)."""
    content_type, body = build_multipart(fields.items(), files)
    form = read_multipart(HttpRequest("POST", "/", (("Content-Type", content_type),), body))
    assert form.fields == fields
    assert [(f.content_type, f.content) for f in form.files] == [
        (file.content_type, file.content) for file in files
    ]
    for read, file in zip(form.files, files, strict=True):
        assert read.filename.replace("%22", '"') == file.filename.replace("%22", '"')


mailboxes = st.builds(Mailbox, lines, st.just("jane@example.com"))
letters = st.builds(
    ParsedLetter,
    subject=lines,
    from_=st.none() | st.builds(Mailbox, lines, st.sampled_from(["a@example.com", "root", ""])),
    reply_to=st.lists(mailboxes, max_size=2).map(tuple),
    to=st.just(()),
    cc=st.just(()),
    text=st.none() | texts,
    html=st.none() | texts,
    attachments=st.just(()) | st.just((Attachment("a.pdf", "application/pdf", b"%PDF"),)),
    inline_parts=st.just(()),
    calendar=st.none(),
    sealed=st.just(value=False),
    other_parts=st.just(()),
    message_id=st.just(""),
    header_fields=st.lists(
        st.tuples(st.sampled_from(["X-One", "x-one", "X-Two", "References", "Date"]), lines),
        max_size=4,
    ).map(tuple),
)


@quick
@given(letters)
def test_v1_requests_read_back(letter: ParsedLetter) -> None:
    """Every text arrives as it was, in JSON as in a form."""
    composition = compose(letter, BOB)
    assert isinstance(composition, Composition)
    submission = rest_v1.build_message(composition, BOB, client_id="Q1-0")
    if submission.filenames:
        read: Any = read_multipart(submission.request).fields
        header_fields = {k[13:-1]: v for k, v in read.items() if k.startswith("smtp_headers[")}
    else:
        read = json.loads(submission.request.body)
        header_fields = read["smtp_headers"]
    for name in ("from_email", "from_name", "subject", "text", "html"):
        assert read.get(name, "") == getattr(composition, name)
    assert read["to"] == "bob@example.org"
    for name, value in header_fields.items():
        assert name.isascii()
        assert value.isascii()
        assert value.isprintable()


@quick
@given(letters)
def test_a_v2_form_has_what_is_demanded(letter: ParsedLetter) -> None:
    """No letter, however empty, makes a form that must be refused."""
    composition = compose(letter, BOB)
    assert isinstance(composition, Composition)
    fields = dict(build_send_email(content_from(composition), "bob@example.org").fields)
    for name in ("sender_email", "subject", "message", "email"):
        assert fields[name].strip()


@quick
@given(st.binary(max_size=300), st.sampled_from([b"", b"Subject: =?utf-8?q?=0D=0ABcc:_x?=\r\n"]))
def test_any_octets_make_a_request(content: bytes, header: bytes) -> None:
    """However broken a letter is, it can be written down, and no line break gets into a field."""
    composition = compose(parse_letter(header + content), BOB)
    assert isinstance(composition, Composition)
    submission = rest_v1.build_message(composition, BOB, client_id="Q1-0")
    assert submission.request.body
    assert not set("\r\n") & set(composition.subject + composition.from_name)
    assert build_send_email(content_from(composition), "bob@example.org").fields

"""
`python -m tests.fuzz TARGET --seconds N`: let atheris look for octets that break a promise.

    session    any octets in any pieces, to a whole session
    letter     any letter, through the repairs: always valid, always the same when mended again
    reader     data in pieces against a naive reader

A finding is printed with its input, which is kept in the folder of `--findings`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import atheris
import structlog

with atheris.instrument_imports(
    include=["gateway.ingress", "providers.mime", "providers.contract"]
):
    from gateway.ingress.reader import DataReader
    from tests.property.test_front_door import naive_read
    from tests.property.test_front_door_repair import mended
    from tests.support.session_trial import try_session

_DATA = Path(__file__).parents[1] / "data"
_LONGEST = 6000


def main() -> None:
    """Run one target for a while."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--findings", type=Path, default=Path("var/fuzz"))
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    corpus = options.findings / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(_seeds(options.target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        sys.argv[0],
        f"-max_total_time={options.seconds}",
        f"-max_len={_LONGEST}",
        "-timeout=20",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={options.findings}/{options.target}-",
        str(corpus),
    ]
    atheris.Setup(arguments, TARGETS[options.target])
    atheris.Fuzz()


def session(octets: bytes) -> None:
    """The first octets say where the others are cut."""
    cuts = [octet * 16 for octet in octets[:4]]
    _LOOP.run_until_complete(try_session(octets[4:], cuts))


def letter(octets: bytes) -> None:
    """The letter as the reader would give it on."""
    reader = DataReader(1 << 20)
    reader.feed(octets.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
    content = reader.content()
    for smtputf8 in (False, True):
        done = mended(content, smtputf8=smtputf8)
        if done is None:
            continue
        whole = done.added + done.content
        assert max(map(len, whole.split(b"\r\n"))) <= 998, "a line is too long"
        assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n"), "bare line ends"
        assert b"\0" not in whole, "a NUL is left"
        again = mended(whole, smtputf8=smtputf8)
        assert again is not None, "a seal came to be"
        assert again.added + again.content == whole, "mending has no end"


def reader(octets: bytes) -> None:
    """The first octets say where the others are cut."""
    cuts, wire = sorted(octets[:4]), octets[4:]
    places = [0, *(min(cut, len(wire)) for cut in cuts), len(wire)]
    found = None
    data = DataReader(1 << 20)
    for start, end in pairwise(places):
        rest = data.feed(wire[start:end])
        if rest is not None:
            found = data.content(), data.repairs, rest + wire[end:]
            break
    assert found == naive_read(wire), "the reader and the book differ"


def _seeds(target: str) -> list[bytes]:
    if target == "letter":
        return [path.read_bytes()[:_LONGEST] for path in sorted((_DATA / "letters").glob("*.eml"))]
    said = b"EHLO a\r\nMAIL FROM:<a@b> SIZE=10\r\nRCPT TO:<c@d>\r\n"
    return [
        b"\1\2\3\4" + said + b"DATA\r\nSubject: a\r\n\r\n..b\r\n.\r\nQUIT\r\n",
        b"\1\2\3\4" + said + b"BDAT 5\r\nabcdeBDAT 2 LAST\r\n\r\nRSET\r\n",
        b"\1\2\3\4" + said.lower() + b"data\r\na\n.\nb\r\n.\r\n",
        b"\1\2\3\4.\r\n",
        b"\1\2\3\4EHLO a\r\nAUTH LOGIN\r\nYXBw\r\nYg==\r\nAUTH PLAIN AGFwcABi\r\n" + said,
    ]


TARGETS: dict[str, Callable[[bytes], None]] = {
    "session": session,
    "letter": letter,
    "reader": reader,
}
_LOOP = asyncio.new_event_loop()

if __name__ == "__main__":
    main()

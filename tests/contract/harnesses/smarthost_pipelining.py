"""The `smarthost` adapter beside a server that takes whole envelopes at once and says more."""

from __future__ import annotations

from tests.contract.harnesses import smarthost


class Harness(smarthost.Harness):
    """The same adapter on its faster way."""

    extensions = ("SIZE", "8BITMIME", "AUTH", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN")

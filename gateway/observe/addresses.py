"""
Addresses in the log as marks: the same address has the same mark, and nobody can tell whose it is.

Whatever a line says is looked through, providers' words too. The mark is keyed: without the key,
trying all addresses one can think of leads nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

_ADDRESS = re.compile(r"[^\s<>()\[\]\",;:=@]{1,64}@[^\s<>()\"',;:=@]{1,255}[^\s<>()\"',;:=@.]")
_NOT_ADDRESSES = frozenset({"message_id"})  # of a letter, and of nobody


class AddressMarks:
    """
    A structlog processor that puts marks in place of addresses.

    Args:
        key: Who has it can make the mark of an address and look for it.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(
        self, _logger: object, _method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """The line with marks."""
        return {
            name: value if name in _NOT_ADDRESSES else self._marked(value)
            for name, value in line.items()
        }

    def mark(self, address: str) -> str:
        """The mark of an address, in any case: 16 hexadecimal digits behind `addr-`."""
        digest = hmac.digest(self._key, address.lower().encode("utf-8", "replace"), hashlib.sha256)
        return f"addr-{digest[:8].hex()}"

    def _marked(self, value: Any) -> Any:  # noqa: ANN401 - a line holds anything
        if isinstance(value, str):
            if "@" not in value:
                return value
            return _ADDRESS.sub(lambda found: self.mark(found[0]), value)
        if isinstance(value, Mapping):
            return {key: self._marked(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._marked(item) for item in value]
        return value

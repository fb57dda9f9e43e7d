"""
Mail addresses as the envelope knows them.

The lowest module of all: an address is checked once, where it enters, and a value of this type can
stand in a command line or a header field without a further look. It must not know header fields
(display names, groups, comments): those are `providers.mime`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# The plain shape nearly every address has; anything else takes the longer way below.
_DNS_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_PLAIN = re.compile(
    rf"([A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,255}})@({_DNS_LABEL}(?:\.{_DNS_LABEL})*)\Z"
)
_DOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
# RFC 5321 4.1.2 with RFC 6531's UTF-8 atoms. Dots may stand anywhere in the local part: some
# carriers hand out addresses such as `a..b@` and `a.@`, and refusing them helps nobody.
_LOCAL_PART = re.compile(
    r"""[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u0080-\U0010ffff]{1,255}\Z"""
    r"""|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"\Z"""
)
_LITERAL = re.compile(r"\[[0-9A-Za-z.:-]{1,64}\]\Z")
_MAX_DOMAIN = 253
_MAX_OCTETS = 320  # RFC 3696 erratum 1690 allows 254; some providers accept more than that


class InvalidAddress(ValueError):
    """Not an address that can stand in an SMTP command."""


@dataclass(frozen=True, slots=True)
class Address:
    """
    One mailbox: `local_part@domain`.

    Compares by normal form: the local part as written, the domain in lower case as A-labels
    (RFC 5890) or as an address literal. `text` keeps what was received.
    """

    local_part: str
    domain: str
    text: str = field(compare=False)

    @property
    def addr_spec(self) -> str:
        """The address for the wire, its domain always ASCII."""
        return f"{self.local_part}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only an SMTPUTF8 transport can carry it (RFC 6531): a non-ASCII local part."""
        return not self.local_part.isascii()

    @property
    def folded(self) -> str:
        """
        For matching an address that a provider sends back: lower case throughout.

        Providers change the case of local parts, so equality is too strict there (provider
        reference, part D items 2 and 27).
        """
        return self.addr_spec.lower()

    def __str__(self) -> str:
        return self.addr_spec


def parse_address(text: str) -> Address:
    """
    Read an addr-spec (no angle brackets, no display-name).

    Returns:
        The address, with a U-label domain converted to A-labels.

    Raises:
        InvalidAddress: It has no local part or domain, or holds what no command line may hold:
            control characters, unquoted blanks or angle brackets, over-long parts.
    """
    if plain := _PLAIN.match(text):
        local_part, domain = plain.groups()
        if len(text) <= _MAX_OCTETS and len(domain) <= _MAX_DOMAIN:
            return Address(local_part, domain.lower(), text)
    local_part, at, domain = text.rpartition("@")
    if not at or not local_part or not domain:
        raise InvalidAddress("an address needs a local part, an @ and a domain")
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_OCTETS:
        raise InvalidAddress("the address is too long")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidAddress("the address is not valid UTF-8") from None
    if not _LOCAL_PART.match(local_part):
        raise InvalidAddress("the local part holds a character that needs quoting")
    return Address(local_part, _normal_domain(domain), text)


def _normal_domain(domain: str) -> str:
    if domain.startswith("["):
        if not _LITERAL.match(domain):
            raise InvalidAddress("the address literal is malformed")
        return domain.lower()
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidAddress("the domain is not a valid internationalised name") from None
    if len(ascii_domain) > _MAX_DOMAIN or not _DOMAIN.match(ascii_domain):
        raise InvalidAddress("the domain is malformed")
    return ascii_domain.lower()

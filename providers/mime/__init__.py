"""
MIME: the octets of a letter as values that an API can carry.

Pure: octets in, values out; no I/O, no clock, no logging, and no octets that make it raise. It
knows no provider. Sits on `contract`; adapters, routing and intake use what is exported here.

    transfer, charset → header → parameter, mailbox → structure → role, text, attachment
    → letter → needs          html stands alone
    structure, mailbox → write → rewrite, downgrade
"""

from providers.mime.attachment import Attachment
from providers.mime.downgrade import Downgraded, Undowngradable, downgrade
from providers.mime.header import decode_field, find_field, header_block
from providers.mime.html import html_from_text
from providers.mime.letter import ParsedLetter, parse_letter
from providers.mime.mailbox import Mailbox
from providers.mime.needs import needs_from, needs_from_parsed, raw_needs_from

__all__ = [
    "Attachment",
    "Downgraded",
    "Mailbox",
    "ParsedLetter",
    "Undowngradable",
    "decode_field",
    "downgrade",
    "find_field",
    "header_block",
    "html_from_text",
    "needs_from",
    "needs_from_parsed",
    "parse_letter",
    "raw_needs_from",
]

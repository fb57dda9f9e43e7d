"""
The `smarthost` adapter: letters go on over SMTP, octet for octet.

Where a server lacks an extension that the letter needs, `adaptation` encodes the letter for it.
`settings` says what can be configured, `commands`, `replies` and `reader` are the protocol without
I/O, `opening` makes connections (aiosmtplib), `dialogue` carries lines over them, `session` hands
over letters one by one, `pool` keeps sessions and says whose turn it is, `provider` puts it all
together. Source: provider reference, part A.
"""

"""
The front door: SMTP in, from greeting to the reply after the final dot.

`server` listens, `session` is one connection on aiosmtpd's protocol, `reception` what connections
share. Without I/O are `dialogue` (what is said), `commands`, `lines` and `reader` (what comes off
the wire), `policy` (what is allowed) and `replies`. `trace` completes the header, `intake` takes a
finished letter into the spool. Nothing here waits for a provider.
"""

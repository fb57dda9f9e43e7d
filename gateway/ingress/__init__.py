"""
The front door: SMTP in, from greeting to the reply after the final dot.

`server` listens, `opening` brings connections with a PROXY header or implicit TLS to the greeting,
`session` is one connection on aiosmtpd's protocol, `reception` what connections share; `tls` has
the certificate, `credentials` checks passwords. Without I/O are `dialogue` (what is said),
`commands`, `sasl`, `lines` and `reader` (what comes off the wire), `policy` (what is allowed),
`limits` (how much), `users` and `replies`. `repair` and `trace` make the header right, `intake`
takes a finished letter into the spool. Nothing here waits for a provider but `direct`.
"""

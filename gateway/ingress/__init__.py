"""
The front door: SMTP in, from greeting to the reply after the final dot.

`server` is aiosmtpd's protocol with our own rules, `commands` and `reader` are its sans-IO parts,
`policy` decides, `trace` completes the header, `intake` takes a finished letter into the spool.
Nothing here waits for a provider.
"""

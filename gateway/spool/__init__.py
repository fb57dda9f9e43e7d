"""
The spool: where letters are safe from the moment the client is told 250 until they are settled.

`protocol` says what the rest of the gateway may ask; `schema` and `migrations` are the tables,
`batcher` turns many waiting calls into one transaction and one sync, `store` answers the protocol
on SQLite. Sits on `gateway.domain`; knows no provider, no socket and no configuration.
"""

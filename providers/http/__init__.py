"""
What the HTTP adapters share: a call and its answer, forms, verdicts, a client, and their order.

Lies below `rest_v1` and `form_v2`, above `mime`, `pacing` and `contract`; knows neither API. Pure
are `exchange` (values), `base_url`, `forms` (bodies), `composition` (a letter's parts) and
`verdict` (outcomes). `network`, `call` and `client` do I/O, each on the one before; `handover` puts
all in order.
"""

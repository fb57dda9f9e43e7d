"""
The spool: where letters are safe from the moment the client is told 250 until they are settled.

`protocol` says what the rest of the gateway may ask; `store` answers it. `batcher` turns many
waiting calls into one transaction and one sync; what is written there stands in `passage` (the way
of every letter), `claims`, `commands` and `signs`, what is read in `reading`. `schema` and
`migrations` are the tables, `rows` and `statements` the way in and out of them, `engine` what a
database must give, `sqlite` and `postgresql` the two that do: one with `bodies` for large contents,
one with `sqlstate` for its troubles; `url` tells them apart. Sits on `gateway.domain`; knows no
provider and no configuration.
"""

"""
Durability proven: the real gateway killed, cut off from power and starved, its accounts compared.

`child` runs gateways that can be told where to die, `mortal` steers them, `campaign` makes them
live and die under load, `accounts` compares; docs/durability.md tells what this proves.
"""

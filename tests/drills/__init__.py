"""
Drills: real gateways against the sandbox while its providers are limited, down, hung or flapping.

`make drill` runs them at full size and prints a table; `make test` runs the same functions small.
"""

"""
The rules of the gateway: no I/O, no clock, no logging; arguments in, values out.

Sits on `providers.contract` alone. `now` and chance come in as arguments.
"""

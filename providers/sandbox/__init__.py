"""
The three providers imitated on this machine: strict about the protocol, faults on demand.

Ships with the gateway: `make run`, `mailquay sandbox` and the tests use the same code. It shares
nothing with the adapters, so that a mistake in one cannot hide in the other. A wrong client fails
here as it would there. `faults` and `letterbox` are common to all three; `smarthost` speaks SMTP,
`rest_v1` and `form_v2` are HTTP; `app` puts those two together beside a control interface, and
`server` starts everything.
"""

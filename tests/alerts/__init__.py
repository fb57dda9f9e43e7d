"""
Each alert raised for real: gateways in trouble, a real Prometheus with the project's rules.

`rules` shortens the rules' times, `faults` brings each trouble about, `page` writes what was found.
Run as `python -m tests.alerts`, which is `make alert-drill`.
"""

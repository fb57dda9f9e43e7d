"""
What became of letters after a provider took them: webhooks taken, providers asked.

Sits beside `ingress`, `delivery` and `observe`. What the events mean for a letter is decided in
`domain.tracking`, and they are stored by `spool.tracking`.
"""

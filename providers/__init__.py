"""
Provider adapters: a library of its own that hands letters to e-mail providers.

It knows nothing of `gateway`. Imports point downwards only: `registry` → `smarthost | rest_v1 |
form_v2` → `http` → `mime | pacing | settings` → `contract`. `sandbox` imitates the providers and
stands beside the adapters, sharing nothing with them but the contract's words. See
providers/README.md.
"""

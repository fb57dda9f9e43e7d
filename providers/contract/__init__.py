"""
The words that adapters and gateway share: frozen values and structural protocols.

Standard library only, no I/O, no clock reads, no logging. Everything else in `providers` and all of
`gateway` may import from here; nothing here imports from there.
"""

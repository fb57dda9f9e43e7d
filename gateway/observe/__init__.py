"""
What can be seen: every metric, the log, traces, and whether the gateway is well.

Readers of the one event stream. They must not wait, and nothing depends on them.
"""

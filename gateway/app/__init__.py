"""
The composition root: the only place that knows every class. Starts, drains, stops.

`parts` and `front_door` make parts from settings, `gateway` puts them together in the order of the
promise, `running` gives that a process with its signals, `explaining` tells the way of a letter
without any of it running, and `route_gaps` which letters have none. Met by `cli` alone.
"""

from gateway.app.explaining import Explanation, envelope_from, explain
from gateway.app.front_door import front_door_gaps, load_security
from gateway.app.gateway import Gateway
from gateway.app.parts import accounts_in_step, build_providers, open_spool, probe_all, report_gaps
from gateway.app.route_gaps import route_gaps
from gateway.app.running import run_until_stopped

__all__ = [
    "Explanation",
    "Gateway",
    "accounts_in_step",
    "build_providers",
    "envelope_from",
    "explain",
    "front_door_gaps",
    "load_security",
    "open_spool",
    "probe_all",
    "report_gaps",
    "route_gaps",
    "run_until_stopped",
]

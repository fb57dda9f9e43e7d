"""
The composition root: the only place that knows every class. Starts, drains, stops.

`parts`, `spool` and `front_door` make parts from settings, `gateway` puts them together in the
order of the promise, `running` gives that a process with its signals, `explaining` tells the way of
a letter without any of it running, and `route_gaps` which letters have none. Met by `cli` alone,
module by module: a command that reads the spool does not wait for all that a daemon needs.
"""

"""
Letters as traces, for whoever asks for them by `tracing.endpoint`: OpenTelemetry's data, by OTLP.

`spans` makes spans of events, `otlp` the octets that a collector takes, `exporter` sends them, and
`tracer` holds the three together. A span is made when all of it is known, so that nothing is open
while a letter waits for days, or another process sends it. OTLP's JSON needs no library but httpx,
which is there; OpenTelemetry's own exporter brings 13 MB and a thread.

Loaded only where it is asked for: `app` imports it then.
"""

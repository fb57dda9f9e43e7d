"""
The boards as code: a module for each, all in the one style of `style`.

`make docs` renders them into `grafana/dashboards`. They use metrics of the gateway and nothing
else; a test runs every query against a real Prometheus.
"""

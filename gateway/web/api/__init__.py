"""
The HTTP API below `/api`: letters sent and looked at, the queue moved, the suppression list kept.

    guard (who may, how much) → operations (what is done) ← models (the shapes) → openapi (the page)
                                      ↓
                                   sending (a request as a submission)

`problems` is how all of them say no. Letters go through the front door's own intake, so that the
same rules hold and a 202 promises what a 250 does. Met by `app` alone.
"""

from gateway.web.api.guard import Guard
from gateway.web.api.operations import Api, api_routes

__all__ = ["Api", "Guard", "api_routes"]

"""
The one HTTP side: metrics and health, over Starlette and uvicorn in the daemon's own loop.

Met by `app` alone; asks `observe` and knows no SMTP.
"""

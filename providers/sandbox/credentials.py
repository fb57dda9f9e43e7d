"""
The dummy credentials of the sandbox; it takes no others.

They imitate the look of the real ones: a plain key for SMTP and v1, and for v2 a token of the
base64 alphabet whose `+`, `/` and `=` need percent-encoding (provider reference, C.1).
"""

from __future__ import annotations

SMTP_USERNAME = "account@example.com"
SMTP_PASSWORD = "sandbox-smtp-key"  # noqa: S105 - a dummy
V1_API_KEY = "sandbox-v1-key"
V2_TOKEN = "eyJpdiI6sandbox+token/=="  # noqa: S105 - a dummy

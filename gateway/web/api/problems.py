"""
How the API says no: problem details (RFC 9457), with nothing of our inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """
    A request that is not done; the text is fit for whoever asked.

    Attributes:
        status: Of HTTP.
        detail: One sentence.
        more: Further members of the document.
        headers: Of the response.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        more: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = dict(more or {})
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The same on the wire."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(
            document, status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers
        )

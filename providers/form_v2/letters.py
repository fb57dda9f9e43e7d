"""
From a letter and its client's wishes to what the v2 API takes: content, sending, one file. Pure.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from providers.contract.options import SendOptions
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.wire.forms import schedule_from
from providers.form_v2.wire.values import Content, Sending
from providers.http.composition import Composition
from providers.http.forms import FormFile
from providers.mime import html_from_text


def content_from(composition: Composition) -> Content:
    """
    What the letter says.

    Its plain text becomes HTML where it has no HTML of its own: `message` is the only body there
    is.
    """
    html = composition.html if composition.html.strip() else html_from_text(composition.text)
    return Content(composition.from_email, composition.from_name, composition.subject, html)


def sending_from(
    options: SendOptions, settings: FormV2Settings, zone: tzinfo, now: datetime
) -> Sending:
    """How it is sent: as the client wishes, else as the operator does, else as the service."""
    opens, clicks = options.track_opens, options.track_clicks
    return Sending(
        track_open=settings.track_open if opens is None else opens,
        track_click=settings.track_click if clicks is None else clicks,
        schedule=schedule_from(options.send_at, zone, now),
    )


def attachment_from(composition: Composition) -> FormFile | None:
    """The one file that goes along (D 29), if there is one."""
    for file in composition.letter.attachments:
        return FormFile("attachment", file.filename, file.content_type, file.content)
    return None

"""`mailquay v1 campaigns …` and `mailquay v1 segments`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from gateway.cli.v1.command import collect, command
from gateway.cli.v1.letters import (
    Attach,
    Html,
    Sender,
    SenderName,
    Subject,
    Text,
    content_from,
    files_from,
)
from providers.rest_v1.api import RestV1Api
from providers.rest_v1.api import campaigns as api_campaigns

app = typer.Typer(help="One letter to whole lists.", no_args_is_help=True)

CampaignId = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id.")]


def add_segments(group: typer.Typer) -> None:
    """Add `segments` to a group."""
    command(group, "segments")(_segments)


async def _segments(api: RestV1Api) -> object:
    """All segments, on newer installations."""
    return await collect(api.walk(api_campaigns.all_segments()))


@command(app, "list", columns=("id", "state", "subject", "from_email", "recipients_count"))
async def list_(api: RestV1Api) -> object:
    """All campaigns, on newer installations."""
    return await collect(api.walk(api_campaigns.all_campaigns()))


@command(app, "create")
async def create(
    api: RestV1Api,
    from_email: Sender,
    subject: Subject,
    list_id: Annotated[
        list[str] | None, typer.Option("--list", help="Id of a list; repeatable.")
    ] = None,
    segment_id: Annotated[str | None, typer.Option("--segment", help="Instead of lists.")] = None,
    from_name: SenderName = None,
    text: Text = None,
    html: Html = None,
    attach: Attach = None,
) -> object:
    """Make a draft; nothing is sent."""
    operation = api_campaigns.create_campaign(
        from_email=from_email,
        from_name=from_name,
        subject=subject,
        list_ids=list_id or (),
        segment_id=segment_id,
        text=content_from(text),
        html=content_from(html),
        files=files_from(attach or ()),
    )
    return await api.call(operation)


@command(app, "show")
async def show(api: RestV1Api, campaign_id: CampaignId) -> object:
    """State, price and statistics of a campaign."""
    return await api.call(api_campaigns.one_campaign(campaign_id))


@command(app, "deliver")
async def deliver(api: RestV1Api, campaign_id: CampaignId) -> object:
    """Send a draft to everybody on its lists."""
    return await api.call(api_campaigns.deliver_campaign(campaign_id))


@command(app, "schedule")
async def schedule(
    api: RestV1Api,
    campaign_id: CampaignId,
    start_at: Annotated[
        datetime,
        typer.Argument(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"], help="Wall-clock time."),
    ],
    time_zone: Annotated[str, typer.Option(help="In the platform's word.")] = "Moscow",
) -> object:
    """Have a draft sent later, on newer installations."""
    return await api.call(api_campaigns.schedule_campaign(campaign_id, start_at, time_zone))

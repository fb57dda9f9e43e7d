"""`mailquay v1 messages …` and `mailquay v1 templates …`."""

from __future__ import annotations

import json
import mimetypes
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import fail, warn
from gateway.cli.v1.command import collect, command
from providers.contract.address import parse_address
from providers.rest_v1.api import RestV1Api
from providers.rest_v1.api import messages as api_messages
from providers.rest_v1.settings import Payment

messages = typer.Typer(help="Single letters.", no_args_is_help=True)
templates = typer.Typer(help="Templates and their letters.", no_args_is_help=True)

TemplateId = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its id.")]
Sender = Annotated[str, typer.Option("--from", help="A confirmed address.")]
SenderName = Annotated[str | None, typer.Option("--from-name")]
Subject = Annotated[str, typer.Option("--subject")]
Text = Annotated[str | None, typer.Option("--text", help="The text; @FILE reads it.")]
Html = Annotated[str | None, typer.Option("--html", help="The HTML; @FILE reads it.")]
Attach = Annotated[list[Path] | None, typer.Option("--attach", help="A file; repeatable.")]
PaymentOption = Annotated[Payment | None, typer.Option("--payment", help="Which credits.")]


@command(messages, "send")
async def send(
    api: RestV1Api,
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="One recipient.")],
    from_email: Sender,
    subject: Subject,
    from_name: SenderName = None,
    text: Text = None,
    html: Html = None,
    attach: Attach = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", help="Name: text; repeatable.")
    ] = None,
    payment: PaymentOption = None,
) -> object:
    """Send a letter, past the gateway's queue."""
    files = files_from(attach or ())
    operation = api_messages.send(
        from_email=parse_address(from_email).addr_spec,
        from_name=from_name,
        to=parse_address(to).addr_spec,
        subject=subject,
        text=content_from(text),
        html=content_from(html),
        payment=None if payment is None else payment.value,
        smtp_headers=dict(_header_field(item) for item in header or ()),
        files=files,
    )
    sent = await api.call(operation)
    lost = Counter(file.filename for file in files) - Counter(sent.attachments)
    for name in lost.elements():
        warn(f"the platform does not name {name} among the files")
    return sent


@command(messages, "show")
async def show(
    api: RestV1Api, message_id: Annotated[str, typer.Argument(metavar="MESSAGE", help="Its id.")]
) -> object:
    """What became of a letter."""
    return await api.call(api_messages.message(message_id))


@command(templates, "send")
async def send_template(
    api: RestV1Api,
    template_id: TemplateId,
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="One recipient.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", help="NAME=TEXT; repeatable.")
    ] = None,
    params: Annotated[str | None, typer.Option("--params", help="All as a JSON object.")] = None,
    payment: PaymentOption = None,
) -> object:
    """Send a letter made of a template, past the gateway's queue."""
    values = _params(param or [], params)
    word = None if payment is None else payment.value
    address = parse_address(to).addr_spec
    return await api.call(api_messages.send_template(template_id, address, values, payment=word))


@command(templates, "list", columns=("id", "name", "subject", "preset_params", "state"))
async def list_templates(api: RestV1Api) -> object:
    """All templates, on newer installations."""
    return await collect(api.walk(api_messages.all_templates()))


@command(templates, "show")
async def show_template(api: RestV1Api, template_id: TemplateId) -> object:
    """One template, on newer installations."""
    return await api.call(api_messages.one_template(template_id))


@command(templates, "create")
async def create_template(
    api: RestV1Api,
    name: Annotated[str, typer.Argument()],
    from_email: Sender,
    subject: Subject,
    html: Annotated[str, typer.Option("--html", help="The HTML; @FILE reads it.")],
    from_name: SenderName = None,
    text: Text = None,
) -> object:
    """Make a template, on newer installations."""
    operation = api_messages.create_template(
        name=name,
        from_email=from_email,
        subject=subject,
        html=content_from(html) or "",
        from_name=from_name,
        text=content_from(text),
    )
    return await api.call(operation)


@command(templates, "submit")
async def submit_template(api: RestV1Api, template_id: TemplateId) -> object:
    """Hand a template to the platform's moderation."""
    return await api.call(api_messages.submit_template(template_id))


def files_from(paths: list[Path] | tuple[Path, ...]) -> list[api_messages.File]:
    """The files to send along; ends the process where one cannot be read."""
    found = []
    for path in paths:
        guess = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found.append(api_messages.File(path.name, _read(path), guess))
    return found


def content_from(given: str | None) -> str | None:
    """A body as given, or read from the file that `@` names."""
    if given is None or not given.startswith("@"):
        return given
    try:
        return _read(Path(given[1:])).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{given[1:]} is not UTF-8") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}", os.EX_NOINPUT)


def _header_field(item: str) -> tuple[str, str]:
    name, separator, text = item.partition(":")
    if not separator or not name.strip() or not text.strip() or "\n" in item or "\r" in item:
        raise ValueError(f"a header field is written Name: text, not {item!r}")
    return name.strip(), text.strip()


def _params(pairs: list[str], as_json: str | None) -> dict[str, Any]:
    values: Any = {}
    if as_json is not None:
        try:
            values = json.loads(as_json)
        except ValueError as error:
            raise ValueError(f"--params is not JSON: {error}") from error
        plain = isinstance(values, dict) and all(
            isinstance(value, str | int | float) for value in values.values()
        )
        if not plain:
            raise ValueError("--params is an object of texts, numbers and booleans")
    for item in pairs:
        name, separator, text = item.partition("=")
        if not separator:
            raise ValueError(f"a param is written NAME=TEXT, not {item!r}")
        values[name] = text
    return dict(values)

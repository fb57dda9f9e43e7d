"""
Reading back the forms that adapters build, with a parser that is not theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.multipart import MultipartParser, parse_options_header

from providers.http.exchange import HttpRequest


@dataclass
class ReadFile:
    """One file part."""

    name: str
    filename: str
    content_type: str
    content: bytes


@dataclass
class ReadForm:
    """Fields by name, each once, and files in order."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[ReadFile] = field(default_factory=list)


def read_multipart(request: HttpRequest) -> ReadForm:
    """
    The form that a request holds.

    Raises:
        AssertionError: It is none, or a field stands there twice.
    """
    media_type, options = parse_options_header(dict(request.headers)["Content-Type"])
    assert media_type == b"multipart/form-data"
    form = ReadForm()
    headers: dict[bytes, bytes] = {}
    name, value, data = bytearray(), bytearray(), bytearray()

    def end_header() -> None:
        headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def end_part() -> None:
        _, parameters = parse_options_header(headers[b"content-disposition"])
        part = parameters[b"name"].decode()
        if b"filename" in parameters:
            filename = parameters[b"filename"].decode()
            content_type = headers[b"content-type"].decode()
            form.files.append(ReadFile(part, filename, content_type, bytes(data)))
        else:
            assert part not in form.fields
            form.fields[part] = data.decode()
        headers.clear()
        data.clear()

    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_header_field": lambda octets, start, end: name.extend(octets[start:end]),
            "on_header_value": lambda octets, start, end: value.extend(octets[start:end]),
            "on_header_end": end_header,
            "on_part_data": lambda octets, start, end: data.extend(octets[start:end]),
            "on_part_end": end_part,
        },
    )
    parser.write(request.body)
    parser.finalize()
    return form

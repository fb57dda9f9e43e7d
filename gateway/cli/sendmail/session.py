"""
`sendmail -bs`: SMTP on standard input and output, carried to the daemon's listener and back.

The daemon speaks; here octets are passed on. Where it does not listen, 421 says so at once.
"""

from __future__ import annotations

import os
import selectors
import socket
from typing import BinaryIO

from gateway.cli.sendmail.submit import Target, connect

_CHUNK = 1 << 16
_NOT_NOW = b"421 4.3.2 The gateway does not listen now, try again later\r\n"


def speak(target: Target | None, source: BinaryIO, sink: BinaryIO) -> int:
    """
    Carry a session until the daemon ends it.

    Args:
        target: Where it listens.
        source: What the client says; its end is passed on, and answers still come.
        sink: What the client hears.

    Returns:
        A sysexits code.
    """
    try:
        if target is None:
            raise OSError("no listener to speak with")  # noqa: TRY301 - the same answer
        connection = connect(target)
    except OSError:
        sink.write(_NOT_NOW)
        sink.flush()
        return os.EX_TEMPFAIL
    with connection:
        connection.settimeout(None)
        try:
            _carry(connection, source, sink)
        except (BrokenPipeError, ConnectionError):
            return os.EX_TEMPFAIL
    return os.EX_OK


def _carry(connection: socket.socket, source: BinaryIO, sink: BinaryIO) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        try:
            selector.register(source, selectors.EVENT_READ)
        except PermissionError:  # a plain file is always ready, and epoll refuses it
            connection.sendall(source.read())
            connection.shutdown(socket.SHUT_WR)
        while True:
            for key, _ in selector.select():
                if key.fileobj is connection:
                    heard = connection.recv(_CHUNK)
                    if not heard:
                        return
                    sink.write(heard)
                    sink.flush()
                elif said := os.read(source.fileno(), _CHUNK):
                    connection.sendall(said)
                else:
                    selector.unregister(source)
                    connection.shutdown(socket.SHUT_WR)

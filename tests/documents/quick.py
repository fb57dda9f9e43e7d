"""
`mailquay` without its start: a second of imports, saved for each of a hundred commands.

A server imports the program once and forks for each call; the program on the path is a client that
hands over its words, folder, environment and open files, and ends with the exit code it is told.
So each command is a process of its own, with nothing left of the one before. Run as a program:
`quick.py SERVER-SOCKET` serves; without gateway on its path, as `mailquay WORDS…`, it calls.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

_MOST_OCTETS = 1 << 20


def call(path: str) -> int:
    """Have the server run `mailquay` with our words; its exit code."""
    request = json.dumps([sys.argv, str(Path.cwd()), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [struct.pack("!I", len(request))], [0, 1, 2])
        server.sendall(request)
        answer = server.recv(1)
    return answer[0] if answer else os.EX_SOFTWARE


def serve(path: str) -> None:
    """Answer calls until SIGTERM; says so on standard output when it is ready."""
    _import_all()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)  # noqa: T201 - whoever started this reads it
        while True:
            caller, _ = listener.accept()
            with caller:
                if os.fork() == 0:
                    listener.close()
                    _answer(caller)
                    os._exit(0)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _import_all() -> None:
    import gateway.app  # noqa: PLC0415 - a caller must not pay for it
    import gateway.cli.v1.commands  # noqa: PLC0415
    import gateway.cli.v2.commands  # noqa: PLC0415
    import gateway.spool.store  # noqa: F401, PLC0415


def _answer(caller: socket.socket) -> None:
    """Run one command in a child of this process, and tell how it ended."""
    head, descriptors, _, _ = socket.recv_fds(caller, 4, 3)
    left, request = struct.unpack("!I", head)[0], b""
    assert left <= _MOST_OCTETS
    while len(request) < left:
        request += caller.recv(left - len(request))
    words, folder, environment = json.loads(request)
    command = os.fork()
    if command == 0:
        caller.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = words
        _run()
    _, status = os.waitpid(command, 0)
    caller.sendall(bytes([os.waitstatus_to_exitcode(status) % 256]))


def _run() -> None:
    from gateway.cli import main  # noqa: PLC0415 - a caller has none

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith(".socket"):
        serve(sys.argv[1])
    sys.exit(call(os.environ["QUICK_MAILQUAY"]))

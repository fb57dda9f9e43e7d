"""
Where commands of the pages run: a folder of their own, a daemon at work in it, the sandbox behind.

All pages share one, for a start takes longer than most pages: each finds the files of the examples
and a letter that waits, and behind a page that failed comes a daemon that was started anew.

A command is typed as it stands. Only what belongs to a machine is moved into the folder: absolute
paths, the two usual ports, and the ids of the page's examples: a queue id becomes that of a letter
that waits here, a batch's the last one told. `systemctl` does to our daemon what it would do to the
service.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.rest_v1.lists import MailingList
from providers.sandbox.server import Sandbox
from tests.documents.pages import Command
from tests.e2e.gateway_process import GatewayProcess, form_v2, rest_v1, run, smarthost

QUICK = Path(__file__).with_name("quick.py")
TOKEN = "dummy-token-of-the-documents"
LETTER = (
    "From: Shop <shop@example.com>\r\nTo: bob@example.org\r\nSubject: Order {number}\r\n"
    "Message-ID: <order-{number}@example.com>\r\n\r\nThank you\r\n"
)
FILES = {
    "letter.html": "<p>Hello</p>\n",
    "news.html": "<p>News</p>\n",
    "clients.csv": "email,City\nbob@example.com,Minsk\neve@example.com,Brest\n",
    "letters.csv": "email,subject,message\nbob@example.org,Hello Bob,<p>Bob</p>\n",
    "addresses.csv": "email\nbob@example.com\n",
    "list.csv": "address,reason\nbob@example.net,manual\n",
}
# What stands at the root of a machine stands in the folder here.
_PLACES = (
    *("/etc/mailquay", "/run/secrets", "/var/lib/mailquay", "/var/backups"),
    *("/opt/mailquay", "/usr/sbin"),
)
_QUEUE_ID = re.compile(r"\b[0-9][0-9A-Z]{12}\b")
_BATCH = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_SERVICE = re.compile(r"systemctl (start|stop|restart|reload) mailquay\Z")


class Ground:
    """
    The pages' folder, daemon and sandbox.

    Args:
        folder: Empty; commands run in it, with nothing of the machine's configuration.
        sandbox: Started.
        quick: The socket of the server that runs `mailquay` for it.
    """

    def __init__(self, folder: Path, sandbox: Sandbox, quick: Path) -> None:
        self.folder = folder
        self._quick = quick
        self._sandbox = sandbox
        for place in (*_PLACES, "/bin"):
            (folder / place[1:]).mkdir(parents=True)
        self._put_programs()
        self._batch = ""
        self._pages = 0
        self._running = False
        self.gateway = GatewayProcess(
            folder / "etc/mailquay",
            {
                "main": smarthost(sandbox),
                "rest": rest_v1(sandbox, rate="1000/s"),
                "bulk": form_v2(sandbox),
            },
            http={"host": "127.0.0.1", "port": 0, "token": TOKEN},
            spool={"url": f"sqlite:///{folder}/var/lib/mailquay/spool.db"},
            routes=[
                {
                    "name": "newsletters",
                    "when": {"sender": "news@example.com"},
                    "providers": ["bulk"],
                },
                {"name": "default", "providers": ["main", "rest"]},
            ],
            retry={"first": "1h", "longest": "1h"},
            smtp={
                "listeners": [{"name": "app", "host": "127.0.0.1", "port": 0}],
                "users_file": f"{folder}/etc/mailquay/users",
            },
        )
        (folder / "etc/mailquay/users").touch()

    async def start(self) -> None:
        """Start the daemon; the sandbox puts off what goes to two recipients."""
        for recipient in ("bob@example.org", "eve@example.org"):
            self._sandbox.faults.add(
                Fault(FaultKind.DEFER, "smarthost", times=None, recipient=recipient)
            )
        found = MailingList(7, "Readers")
        self._sandbox.rest_v1.lists.found[7] = found
        self._sandbox.rest_v1.recipients.put(found, "bob@example.com", {})
        account = self._sandbox.form_v2.account
        account.lists[7] = ["bob@example.com"]
        account.mailings[555] = account.open_mailing("News", ("news@example.com", ""))
        await self._start()
        self._settle_ports()
        demo = self.folder / "var/demo"
        demo.mkdir()
        (demo / "gateway.yaml").symlink_to(self.gateway.config_path)

    async def open(self) -> None:
        """Have all ready for a page: the files that it names, and a letter that waits."""
        if not self._running:
            await self._start()
        self._pages += 1
        letter = LETTER.format(number=76 + self._pages)
        for name, text in {**FILES, "letter.eml": letter}.items():
            (self.folder / name).write_text(text, encoding="utf-8", newline="")
        begun = len(self.gateway.log)
        code, out, err = await self.type(
            "mailquay sendmail -f shop@example.com bob@example.org eve@example.org < letter.eml"
        )
        assert code == 0, out + err
        deferred = await self.gateway.wait_for(
            lambda line: line["event"] == "deferred", since=begun
        )
        self.waiting = str(deferred["queue_id"])

    async def end(self) -> None:
        """Kill the daemon, if it runs; the next page gets one that was started anew."""
        if self._running:
            self._running = False
            await self.gateway.kill()

    async def do(self, command: Command) -> tuple[int, str, str]:
        """Carry out a command: exit code, output, errors."""
        text = command.text
        if service := _SERVICE.match(text.removeprefix("sudo ")):
            await self._serve(service[1])
            return 0, "", ""
        text = _BATCH.sub(self._batch, _QUEUE_ID.sub(self.waiting, text))
        code, out, err = await self.type(text)
        if batch := _BATCH.search(out):
            self._batch = batch[0]
        return code, out, err

    async def type(self, text: str) -> tuple[int, str, str]:
        """Have a shell run this in the folder; who asks for a password is given one."""
        for place in _PLACES:
            text = re.sub(rf"(?<![\w.]){place}\b", f"{self.folder}{place}", text)
        text = text.replace(".venv/bin/", f"{self.folder}/bin/")
        text = text.replace("127.0.0.1:2525", f"127.0.0.1:{self.gateway.smtp_port}")
        text = text.replace("127.0.0.1:8025", f"127.0.0.1:{self.gateway.http_port}")
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "MAILQUAY_CONFIG": str(self.gateway.config_path),
            "MAILQUAY_SMTP": f"127.0.0.1:{self.gateway.smtp_port}",
            "QUICK_MAILQUAY": str(self._quick),
            "TOKEN": TOKEN,
        }
        words = [f"{name}={value}" for name, value in environment.items()]
        shell = ("bash", "-c", f"cd {self.folder} && {text}")
        return await run("env", "-i", *words, *shell, stdin=b"a dummy's pass phrase\n")

    async def _serve(self, deed: str) -> None:
        if deed == "reload":
            begun = len(self.gateway.log)
            os.kill(self.gateway.pid, signal.SIGHUP)
            await self.gateway.wait_for(lambda line: line["event"] == "reloaded", since=begun)
            return
        if deed != "start":
            self._running = False
            assert await self.gateway.stop() == 0
        if deed != "stop":
            await self._start()

    async def _start(self) -> None:
        self._running = True
        await self.gateway.start()

    def _put_programs(self) -> None:
        """`mailquay` is this checkout's."""
        program = self.folder / "bin" / "mailquay"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {QUICK} "$@"\n')
        program.chmod(0o755)

    def _settle_ports(self) -> None:
        """From the first start on the ports are known, and commands find them in the file."""
        config: dict[str, Any] = self.gateway.config
        config["smtp"]["listeners"][0]["port"] = self.gateway.smtp_port
        config["http"]["port"] = self.gateway.http_port
        self.gateway.config_path.write_text(yaml.safe_dump(config), encoding="utf-8")


def as_pattern(shown: str) -> re.Pattern[str]:
    """What a page shows as output: numbers and ids may be others, `…` is anything."""
    text = _QUEUE_ID.sub("…", shown.rstrip())
    parts = (re.sub(r"(\\?\d)+", r"\\d+", re.escape(part)) for part in text.split("…"))
    return re.compile(r"\s*" + ".*".join(parts).replace(r"\ ", r"\s+"))

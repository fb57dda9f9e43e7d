"""
Programs that queue letters and hand them on by themselves: Postfix, Exim, Alertmanager.

Each gets one instance with a configuration of its own in a temporary folder, and sends one letter
by each way that it knows. What belongs to the machine is neither asked nor touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from bench import postfix
from bench.ports import free_port
from tests.e2e.clients.programs import EVERY_WAY, needs, run
from tests.e2e.clients.way import REVERSE_PATH, SUBJECT, TEXT, Way, letter
from tests.e2e.gateway_process import environment

EXIM = Path(".venv/exim/usr/sbin/exim4").resolve()
"""Where tests/system-packages unpacks it: as a package it would take the place of Postfix."""

_NOBODY = 65534

Ways = Mapping[str, Way]
Addresses = Mapping[str, str]
"""The recipient by way."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """
    A program with an instance for a while.

    Attributes:
        name: Of the program.
        running: The instance; sends a letter by each way to the address that goes with it.
        missing: Why it cannot be used here, empty when it can.
        ways: Those it knows.
    """

    name: str
    running: Callable[[Ways, Addresses], contextlib.AbstractAsyncContextManager[None]]
    missing: Callable[[], str]
    ways: tuple[str, ...] = EVERY_WAY


@contextlib.asynccontextmanager
async def _postfix(ways: Ways, to: Addresses) -> AsyncIterator[None]:
    """A letter for each way into its maildrop; per address a transport, per next hop a policy."""
    with _folder() as folder:
        config = postfix.write_instance(folder, port=free_port(), sink_port=9)
        ca = folder / "ca.crt"
        shutil.copy(ways["plain"].ca, ca)
        hops = {name: f"[127.0.0.1]:{way.port}" for name, way in ways.items()}
        services = {"implicit": "smtps"}
        (folder / "transport").write_text(
            "".join(
                f"{to[name]} {services.get(name, 'smtp')}:{hop}\n" for name, hop in hops.items()
            )
        )
        (folder / "policy").write_text(
            f"{hops['plain']} none\n"
            + "".join(f"{hops[name]} secure match=localhost\n" for name in hops if name != "plain")
        )
        auth = ways["auth"]
        (folder / "passwords").write_text(f"{hops['auth']} {auth.username}:{auth.password}\n")
        with (config / "main.cf").open("a") as main:
            main.write(
                f"transport_maps = texthash:{folder}/transport\n"
                f"smtp_tls_policy_maps = texthash:{folder}/policy\n"
                f"smtp_sasl_password_maps = texthash:{folder}/passwords\n"
                "smtp_sasl_auth_enable = yes\n"
                "smtp_sasl_security_options =\n"
                f"smtp_tls_CAfile = {ca}\n"
                "relayhost =\n"
            )
        with (config / "master.cf").open("a") as master:
            master.write(
                "pickup unix n - n 1 1 pickup\n"
                "smtps unix - - n - - smtp -o smtp_tls_wrappermode=yes\n"
            )
        process = await asyncio.create_subprocess_exec(
            postfix.master_program(), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            for address in to.values():
                await run(
                    *("sendmail", "-C", str(config), "-i", "-f", REVERSE_PATH, address),
                    stdin=letter(address),
                )
            yield
        finally:
            await _stopped(process)


@contextlib.asynccontextmanager
async def _exim(ways: Ways, to: Addresses) -> AsyncIterator[None]:
    """A letter for each way, delivered in the foreground, pipelined and by BDAT; a router each."""
    with _folder() as folder:
        config = folder / "exim.conf"
        # Debian's program insists on a user of its own; here that is another name for nobody.
        (folder / "passwd").write_text(
            f"root:x:0:0::/:/bin/sh\nDebian-exim:x:{_NOBODY}:{_NOBODY}::/:/bin/sh\n"
        )
        (folder / "group").write_text(f"root:x:0:\nDebian-exim:x:{_NOBODY}:\n")
        os.chown(folder, _NOBODY, _NOBODY)
        shutil.copy(ways["plain"].ca, folder / "ca.crt")
        config.write_text(_exim_config(folder, ways, to))
        names = {
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(folder / "group"),
        }
        for address in to.values():
            await run(
                *(str(EXIM), "-C", str(config), "-i", "-odf", "-f", REVERSE_PATH, address),
                stdin=letter(address),
                more=names,
            )
        log = (folder / "log-main").read_text(encoding="utf-8", errors="replace")
        for address in to.values():
            done = next((line for line in log.splitlines() if f" => {address} " in line), "")
            # L: commands were pipelined; K: the content went by BDAT.
            assert {"L", "K"} <= set(done.split()), (
                f"neither pipelined nor in chunks: {done or log}"
            )
        yield


def _exim_config(folder: Path, ways: Ways, to: Addresses) -> str:
    auth = ways["auth"]
    routers, transports = [], []
    for name, way in ways.items():
        routers.append(
            f"{name}:\n  driver = manualroute\n"
            f"  condition = ${{if eq{{$local_part@$domain}}{{{to[name]}}}}}\n"
            f"  route_list = * 127.0.0.1::{way.port}\n  self = send\n  transport = {name}\n"
        )
        transports.append(
            f"{name}:\n  driver = smtp\n  hosts_try_fastopen =\n"
            + ("  hosts_avoid_tls = *\n" if way.tls == "off" else "  hosts_require_tls = *\n")
            + ("  protocol = smtps\n" if way.tls == "implicit" else "")
            + ("  hosts_require_auth = *\n" if way.username else "")
            + f"  tls_verify_certificates = {folder}/ca.crt\n  tls_verify_cert_hostnames =\n"
        )
    return (
        f"exim_path = {EXIM}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log-%s\n"
        "primary_hostname = exim.example.com\nkeep_environment = *\n"
        "log_selector = +pipelining\n"
        "trusted_users = root\nnever_users =\n"
        f"begin routers\n{''.join(routers)}begin transports\n{''.join(transports)}"
        f"begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n"
        f"  client_send = ^{auth.username}^{auth.password}\n"
    )


@contextlib.asynccontextmanager
async def _alertmanager(ways: Ways, to: Addresses) -> AsyncIterator[None]:
    """An alert for each way; a receiver each."""
    with _folder() as folder:
        port = free_port()
        (folder / "am.yml").write_text(yaml.safe_dump(_alertmanager_config(ways, to)))
        process = await asyncio.create_subprocess_exec(
            *("prometheus-alertmanager", f"--config.file={folder}/am.yml"),
            *(f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=",
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
        )
        try:
            await _post(
                f"http://127.0.0.1:{port}/api/v2/alerts",
                [{"labels": {"alertname": "Test", "way": name}} for name in to],
            )
            yield
        finally:
            await _stopped(process)


def _alertmanager_config(ways: Ways, to: Addresses) -> dict[str, object]:
    return {
        "route": {
            "receiver": "plain",
            "group_by": ["way"],
            "group_wait": "0s",
            "routes": [{"receiver": name, "matchers": [f'way="{name}"']} for name in to],
        },
        "receivers": [
            {
                "name": name,
                "email_configs": [
                    {
                        "to": address,
                        "from": REVERSE_PATH,
                        "smarthost": f"127.0.0.1:{ways[name].port}",
                        "hello": "alertmanager.example.com",
                        "require_tls": ways[name].tls != "off",
                        "tls_config": {"ca_file": str(ways[name].ca)},
                        "auth_username": ways[name].username,
                        "auth_password": ways[name].password,
                        "headers": {"Subject": SUBJECT},
                        "html": "",
                        "text": TEXT,
                    }
                ],
            }
            for name, address in to.items()
        ],
    }


async def _post(url: str, alerts: object) -> None:
    """Hand alerts in as soon as somebody listens there; half a minute at most."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while True:
            with contextlib.suppress(httpx.ConnectError):
                (await client.post(url, json=alerts)).raise_for_status()
                return
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder that a daemon's own users can get into."""
    path = Path(tempfile.mkdtemp(prefix="mailquay-client-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


async def _stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(60):
        await process.wait()


def _postfix_missing() -> str:
    return postfix.reason_without(Path("/tmp"))  # noqa: S108 - where `_folder` makes its own


def _exim_missing() -> str:
    return "" if EXIM.exists() else "Exim is not unpacked; `make test` does, as root with apt"


DAEMONS = (
    Daemon("Postfix", _postfix, _postfix_missing),
    Daemon("Exim", _exim, _exim_missing),
    Daemon(
        "Alertmanager",
        _alertmanager,
        needs("prometheus-alertmanager"),
        ("plain", "starttls", "auth"),  # implicit TLS it speaks on port 465 alone
    ),
)

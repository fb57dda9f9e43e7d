"""
A gateway as a process: runs until a signal says stop, reads its configuration again on SIGHUP.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import resource
import signal
from collections.abc import Callable

import structlog

from gateway.app.gateway import Gateway
from gateway.config import Settings
from gateway.errors import ConfigError
from providers.contract.errors import ProviderConfigError

log = structlog.get_logger("gateway")

_OTHER_FILES = 512  # beside clients: the spool, providers, the HTTP side
_LARGE_BLOCK = 2 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


async def run_until_stopped(
    settings: Settings,
    *,
    started: Callable[[Gateway], None] | None = None,
    read_again: Callable[[], Settings] | None = None,
) -> None:
    """
    Run a gateway in this loop until SIGTERM or SIGINT, then drain; SIGHUP reloads.

    Args:
        settings: Its configuration.
        started: Called when letters can come in.
        read_again: Reads the configuration anew; may raise `ConfigError`, and nothing changes then.

    Raises:
        ConfigError, SpoolError, ProviderConfigError, OSError: It cannot start; see `Gateway.start`.
    """
    stop, hang_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    _give_large_blocks_back()
    _allow_files(settings.smtp.max_connections + _OTHER_FILES)
    gateway = Gateway(settings)
    await gateway.start()
    # What the start has made stays: collections need not look through it again and again, which
    # would hold up every session for 50 ms. Next to nothing of it is garbage.
    gc.freeze()
    log.info("started", smtp=gateway.smtp_ports, http=gateway.http_port)
    if started is not None:
        started(gateway)
    reloading = asyncio.create_task(_reload_on(hang_up, gateway, read_again), name="reload")
    await stop.wait()
    reloading.cancel()
    log.info("draining")
    await gateway.stop()
    log.info("stopped")


def _give_large_blocks_back() -> None:
    """
    Let the memory of a large letter go back to the system when the letter does.

    Left to itself, glibc learns from the first one to keep such blocks in its heap, which then is
    full of holes: 200 letters of 20 MiB took half as much again as they may, and kept it.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has its own ways
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BLOCK)


def _allow_files(wanted: int) -> None:
    """Let the process open so many files, as far as it may; shells allow 1024 at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("few_open_files", allowed=most, wanted=wanted)


async def _reload_on(
    hang_up: asyncio.Event, gateway: Gateway, read_again: Callable[[], Settings] | None
) -> None:
    while True:
        await hang_up.wait()
        hang_up.clear()
        if read_again is None:
            continue
        try:
            await gateway.reload(await asyncio.to_thread(read_again))
        except ConfigError as error:
            log.warning("not_reloaded", problems=list(error.problems))
        except ProviderConfigError as error:
            log.warning("not_reloaded", problems=[str(error)])

"""
Postfix: whether it can be had, and a private instance of it.

The instance has its own configuration, queue and port below the bench's folder and is a child of
the bench; a Postfix that belongs to the machine is neither asked nor touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PROGRAMS = ("postfix", "smtp-source", "smtp-sink")
_POLICY = Path("/usr/sbin/policy-rc.d")
_APT_ENV = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
_APT_WITHIN_S = 180

# Everything else as Postfix ships it: the comparison is with what one gets.
_MAIN = """\
compatibility_level = 3.6
myhostname = postfix.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
alias_maps =
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file_prefixes = {folder}
maillog_file = {folder}/maillog
"""

# The services of a letter's way and those they call; no chroot, which would need copies of
# libraries and changes no speed.
_MASTER = """\
{port}     inet       n - n -     -   smtpd
cleanup    unix       n - n -     0   cleanup
qmgr       unix       n - n 300   1   qmgr
tlsmgr     unix       - - n 1000? 1   tlsmgr
rewrite    unix       - - n -     -   trivial-rewrite
bounce     unix       - - n -     0   bounce
defer      unix       - - n -     0   bounce
trace      unix       - - n -     0   bounce
verify     unix       - - n -     1   verify
flush      unix       n - n 1000? 0   flush
proxymap   unix       - - n -     -   proxymap
proxywrite unix       - - n -     1   proxymap
smtp       unix       - - n -     -   smtp
relay      unix       - - n -     -   smtp
error      unix       - - n -     -   error
retry      unix       - - n -     -   error
anvil      unix       - - n -     1   anvil
scache     unix       - - n -     1   scache
postlog    unix-dgram n - n -     1   postlogd
"""


def reason_without(folder: Path) -> str:
    """
    Why Postfix cannot have an instance below `folder`, empty when it can; installs it if need be.

    Installed is Debian's package, as root, with "No configuration": its unit starts nothing without
    a main.cf, now or at the next boot, and a policy that denies starts is in place meanwhile.
    Nothing that is installed would be removed for it (another MTA, for example).
    """
    if os.geteuid() != 0:
        return "Postfix needs root"
    closed = [path for path in folder.resolve().parents if not path.stat().st_mode & 0o001]
    if closed:
        return f"its users cannot get into {closed[-1]}; name another place by --folder"
    if _installed():
        return ""
    if shutil.which("apt-get") is None:
        return "Postfix is not installed, and there is no apt-get"
    try:
        with _no_starts():
            _apt_install()
    except (OSError, subprocess.SubprocessError) as error:
        return f"Postfix could not be installed: {error}"
    return "" if _installed() else "Postfix was installed without its test programs"


def version() -> str:
    """As `3.7.11`."""
    return _postconf("mail_version")


def master_program() -> str:
    """The path of the process that starts all others."""
    return f"{_postconf('daemon_directory')}/master"


def write_instance(folder: Path, *, port: int, sink_port: int) -> Path:
    """
    Lay out an instance below `folder`.

    Returns:
        Its configuration directory.

    Raises:
        OSError, LookupError: It could not be laid out; there is no user postfix.
        subprocess.SubprocessError: Postfix dislikes it.
    """
    config, data = folder / "config", folder / "data"
    for path in (config, data, folder / "queue"):
        path.mkdir(parents=True)
    shutil.chown(data, "postfix")
    (config / "main.cf").write_text(_MAIN.format(folder=folder, sink_port=sink_port))
    (config / "master.cf").write_text(_MASTER.format(port=port))
    # Makes the directories of the queue, each with its owner.
    _run("postfix", "-c", str(config), "check")
    return config


def _installed() -> bool:
    return all(shutil.which(program) for program in _PROGRAMS)


def _postconf(name: str) -> str:
    return _run("postconf", "-d", "-h", name).strip()


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@contextlib.contextmanager
def _no_starts() -> Iterator[None]:
    """Deny package scripts to start services, unless the machine has a policy of its own."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    try:
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink()


def _apt_install() -> None:
    answer = "postfix postfix/main_mailer_type select No configuration\n"
    _apt("debconf-set-selections", given=answer)
    install = ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "--no-remove")
    try:
        _apt(*install, "postfix")
    except subprocess.CalledProcessError:  # the lists may be old, or not there at all
        _apt("apt-get", "update", "-qq")
        _apt(*install, "postfix")


def _apt(*command: str, given: str = "") -> None:
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        input=given,
        env=_APT_ENV,
        timeout=_APT_WITHIN_S,
    )

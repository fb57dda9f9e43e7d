"""How senders are told, as the operator wants it; and whether reports can leave at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address

from gateway.domain.routing import Route
from providers.contract.address import Address, parse_address
from providers.contract.capabilities import ProviderCapabilities, Rate

PER_SENDER = Rate(100, timedelta(hours=1))
TOTAL = Rate(1000, timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class ReportRules:
    """
    The rules.

    Attributes:
        hostname: Ours, for Reporting-MTA, Message-ID and MAILER-DAEMON.
        from_: Whom reports are from, and their reverse-path where the null one cannot be told;
            `None`: MAILER-DAEMON at our hostname, and no reports by such providers.
        delay_warning: Age at which a sender is told of a delay; zero: never.
        return_octets: The largest letter that comes back whole where RET=FULL asks for it.
        postmaster: Gets a copy of reports of failures, without the letter.
        per_sender: Reports to one reverse-path.
        total: Reports in all.
        remote_mtas: By provider, the host name of its SMTP server; others have none.
    """

    hostname: str
    from_: Address | None = None
    delay_warning: timedelta = timedelta(hours=4)
    return_octets: int = 50 << 10
    postmaster: Address | None = None
    per_sender: Rate = PER_SENDER
    total: Rate = TOTAL
    remote_mtas: Mapping[str, str] = field(default_factory=dict)

    @property
    def author(self) -> Address:
        """Whom reports are from in their header."""
        return self.from_ or parse_address(f"MAILER-DAEMON@{self.hostname}")


def mta_name(host: str) -> str:
    """A host as the field Remote-MTA names it: an IP address as a literal (RFC 5321 4.1.3)."""
    try:
        version = ip_address(host).version
    except ValueError:
        return host
    return f"[{host}]" if version == 4 else f"[IPv6:{host}]"


def gaps(
    routes: Sequence[Route], capabilities: Mapping[str, ProviderCapabilities], rules: ReportRules
) -> tuple[str, ...]:
    """
    Why reports may never reach their senders, a line for each thing to mend.

    Args:
        routes: In order.
        capabilities: By provider name.
        rules: With an address of ours in `from_`, every provider has a way to carry a report.
    """
    cure = "set bounces.from to an address that the provider takes letters from"
    from_nobody = [route for route in routes if _takes_reports(route, None)]
    if rules.from_ is not None:
        if from_nobody or any(_takes_reports(route, rules.from_) for route in routes):
            return ()
        return (f"no route takes letters from <> or {rules.from_}, so senders get no reports",)
    if not from_nobody:
        return (f"no route takes letters from <>, so senders get no reports: {cure}",)
    return tuple(
        f"no provider of route {route.name} takes letters from <>, "
        f"so no report leaves by it: {cure}"
        for route in from_nobody
        if not any(capabilities[name].null_reverse_path for name in route.providers)
    )


def _takes_reports(route: Route, reverse_path: Address | None) -> bool:
    """Whether a letter of ours can take a route: no user has handed it in."""
    condition = route.condition
    if condition.users:
        return False
    if reverse_path is None:
        return not (condition.senders or condition.sender_domains)
    return (not condition.senders or reverse_path.folded in condition.senders) and (
        not condition.sender_domains or reverse_path.domain in condition.sender_domains
    )

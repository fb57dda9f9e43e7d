"""
Sees to it that an account calls us: its webhook checked, set, and looked at again.
"""

from __future__ import annotations

from gateway.domain.events import Emit, WebhookRegistered
from gateway.tracking.accounts import Account
from providers.contract.clock import Clock
from providers.contract.tracking import WebhookRegistry

_FIRST_S = 5.0
_LONGEST_S = 600.0
_AGAIN_S = 6 * 3600.0  # somebody may set another by hand


async def keep_registered(
    account: Account, registry: WebhookRegistry, clock: Clock, emit: Emit
) -> None:
    """
    Register an account's webhook, until cancelled.

    Args:
        account: Whose; its `url` is what the provider shall call.
        registry: The provider's side of it.
        clock: Time.
        emit: Told what came of each look.
    """
    wait_s = _FIRST_S
    while True:
        reason = await registry.register_webhook(account.url)
        emit(WebhookRegistered(clock.now(), account.name, reason))
        if reason:
            await clock.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_S)
        else:
            await clock.sleep(_AGAIN_S)
            wait_s = _FIRST_S

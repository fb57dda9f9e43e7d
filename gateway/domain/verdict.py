"""
What became of one recipient while its client waits, and what of all of them together.

Pure. `delivery` gives the answers, `ingress` makes a reply of them; neither knows the other. Sits
on `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.lifecycle import State


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The end of a first try for one recipient.

    `state` is where it left the recipient: handed over, failed, or in anything else still with the
    gateway. Status, diagnostic and the provider's id are those of the outcome; all may be empty.
    """

    key: int
    state: State
    status: str = ""
    diagnostic: str = ""
    provider_message_id: str = ""

    @property
    def is_handed_over(self) -> bool:
        """Whether a provider has it: from then on its client must not be told to try again."""
        return self.state is State.HANDED_OVER

    @property
    def is_refused(self) -> bool:
        """Whether it is given up for good, or was never to be sent."""
        return self.state in {State.FAILED, State.SUPPRESSED}


def are_all_refused(answers: Sequence[Answer], recipients: int) -> bool:
    """Whether the letter may be refused to its client: each recipient's failure is known."""
    return len(answers) == recipients and all(answer.is_refused for answer in answers)

"""
What adapters raise: only for what is wrong before a letter is at stake.

Trouble in delivering is a `DeliveryOutcome`, never an exception.
"""


class ProviderError(Exception):
    """Something is wrong with a provider's adapter."""


class ProviderConfigError(ProviderError):
    """The provider's settings cannot work; the text says which and why, without secrets."""

"""
The configuration: a YAML file, the environment over it, checked as a whole before any start.

Pydantic stays at this edge: `load` gives settings, a module for each section, and `app` hands
plain frozen values inward. It reads files and the environment, opens no socket and starts
nothing. Met by `app` and `cli` alone.
"""

from gateway.config.environment import ENV_PREFIX, plain_word
from gateway.config.loading import find_file, load
from gateway.config.settings import Settings

__all__ = ["ENV_PREFIX", "Settings", "find_file", "load", "plain_word"]

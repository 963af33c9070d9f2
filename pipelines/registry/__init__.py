"""Names for coros, with the types of their arguments: the table in which a graph's names are looked up."""

from .registry import Registry, coro, default_registry
from .trusted import TrustedNames

__all__ = ["Registry", "TrustedNames", "coro", "default_registry"]

"""Tollkeeper: the gate between programs and what they call."""

from typing import TYPE_CHECKING, Any

from tollkeeper.core.version import __version__ as __version__

if TYPE_CHECKING:
    from tollkeeper.bulk.completing import complete_many as complete_many
    from tollkeeper.bulk.completing import completions as completions
    from tollkeeper.bulk.completing import run_many as run_many

__all__ = ("complete_many", "completions", "run_many")


def __getattr__(name: str) -> Any:
    """The functions for programs, imported when they are first asked for: the gate starts without them."""
    if name not in __all__:
        raise AttributeError(f"module 'tollkeeper' has no attribute '{name}'")
    from tollkeeper.bulk import completing

    return getattr(completing, name)

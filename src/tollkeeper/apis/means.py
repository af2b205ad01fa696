"""What published APIs work with: the gate's own ways in and out, handed to them where they are made."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tollkeeper.apis.outside import Access
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Handler


@dataclass(frozen=True, slots=True)
class Means:
    """One gate's."""

    handle: Handler
    say: Callable[..., None]
    """Writes a line into the log: a name, and fields."""
    monotonic: Clock
    outside: Access = field(default_factory=Access)
    """Other APIs that functions may call."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """Calls that go on until they are settled, whoever has left them."""

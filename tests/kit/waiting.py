"""Waits for what comes a moment later."""

import time
from typing import Any


def until(found: Any, seconds: float = 30) -> Any:
    """What `found` gives once it is something."""
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.02)
    assert value
    return value

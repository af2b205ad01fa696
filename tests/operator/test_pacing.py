"""Callers of /mcp on the operator port are slowed down, each for itself."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.operator.pacing import Pacing


def test_a_caller_may_come_so_often_and_then_has_to_wait() -> None:
    now, per_minute = 100.0, 30
    pacing = Pacing(lambda: per_minute, lambda: now)
    for _ in range(30):
        pacing.take("ada")
    with pytest.raises(CallerError) as raised:
        pacing.take("ada")
    assert (raised.value.status, raised.value.headers) == (429, ((b"retry-after", b"2"),))
    pacing.take("bob")
    now += 2
    pacing.take("ada")
    with pytest.raises(CallerError):
        pacing.take("ada")
    per_minute = 60
    pacing.take("ada")

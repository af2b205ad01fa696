"""What one key may do over all its sockets."""

import pytest

from kit.sessions import KEY
from tollkeeper.core.errors import CallerError
from tollkeeper.core.limits import SocketLimits
from tollkeeper.sockets.caps import Caps


def test_a_key_has_so_many_sockets_at_one_time() -> None:
    caps = Caps(SocketLimits(connections_per_key=2), lambda: 0.0)
    caps.enter(KEY)
    caps.enter(KEY)
    with pytest.raises(CallerError, match="2 sockets"):
        caps.enter(KEY)
    caps.leave(KEY)
    caps.enter(KEY)


def test_messages_are_counted_by_the_minute_over_all_sockets() -> None:
    now = 0.0
    caps = Caps(SocketLimits(messages_per_minute=60), lambda: now)
    for _ in range(60):
        caps.message(KEY)
    with pytest.raises(CallerError, match="in 1 s") as refused:
        caps.message(KEY)
    assert refused.value.status == 429
    now = 1.0
    caps.message(KEY)
    with pytest.raises(CallerError):
        caps.message(KEY)

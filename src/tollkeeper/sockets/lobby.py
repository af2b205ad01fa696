"""What all sockets of one gate share: which action speaks to what, and what one key may do over all of them."""

from collections.abc import Callable, Mapping

from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.sockets.asking import Topic
from tollkeeper.sockets.caps import Caps
from tollkeeper.sockets.options import SocketOptions

SEND = "sendmessage"
CANCEL = "cancel"
FORGET = "forget"
BUILT_IN = frozenset((SEND, CANCEL, FORGET))
"""Actions that are there without being published or mapped."""


class Lobby:
    """Replaced in part when the config changes: open sockets go by what is in force when a message comes."""

    def __init__(
        self,
        options: SocketOptions,
        topics: Mapping[str, Topic],
        *,
        current: Callable[[Key], Key | None],
        new_id: Callable[[], str],
        monotonic: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self.options = options
        self.topics = topics
        """By action."""
        self.current = current
        """The key as it is now; None where it can no longer be used."""
        self.new_id = new_id
        self.monotonic = monotonic
        self.on_error = on_error
        self.caps = Caps(options.limits, monotonic)

    def configure(self, options: SocketOptions, topics: Mapping[str, Topic]) -> None:
        """From now on these hold."""
        self.options, self.topics = options, topics
        self.caps.configure(options.limits)

    def topic(self, action: str | None) -> tuple[str, Topic]:
        """What an action speaks to, and the action that it was taken for. Raises CallerError (unknown_action)."""
        for each in (action, self.options.default):
            if each is not None and each in self.topics:
                return each, self.topics[each]
        asked = "The message names no action" if action is None else f"There is no action '{action[:64]}'"
        known = ", ".join(sorted({*self.topics, CANCEL, FORGET}))
        raise CallerError(f"{asked}; there are: {known}.", code="unknown_action", param="action")

"""`POST /ws/tickets`: a key's holder gets a ticket that opens one socket, for a browser that must not hold the key."""

import msgspec

from tollkeeper.core.call import Reply
from tollkeeper.core.ports import Keys, Tickets
from tollkeeper.server.requests import Request, key_of, method_not_allowed


class Ticketing:
    """Answers at the path of the tickets."""

    def __init__(self, tickets: Tickets, keys: Keys) -> None:
        self._tickets = tickets
        self._keys = keys

    async def answer(self, request: Request) -> Reply:
        """`{"ticket": ..., "expires_in": seconds}`. Raises CallerError (401, 405)."""
        if request.method != "POST":
            raise method_not_allowed(frozenset(("POST",)))
        ticket, seconds = await self._tickets.issue(key_of(request.named, self._keys))
        body = msgspec.json.encode({"ticket": ticket, "expires_in": seconds})
        return Reply(200, [(b"content-type", b"application/json"), (b"cache-control", b"no-store")], body)

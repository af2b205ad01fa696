"""Tickets on DynamoDB: one Lambda makes it, whichever is asked first takes it."""

import base64
import hashlib
from collections.abc import Callable

from tollkeeper.core.ids import Clock, Randomness
from tollkeeper.core.keys import Key
from tollkeeper.stores.dynamodb.table import Item, Table

PREFIX = "tt-"
_TICKETS = "ticket"


class DynamoTickets:
    """Implements `core.ports.Tickets`. `now` is Unix seconds, as every Lambda's clock has them."""

    def __init__(
        self,
        table: Table,
        now: Clock,
        randomness: Randomness,
        seconds: Callable[[], float],
        key_of: Callable[[str], Key | None],
    ) -> None:
        self._table = table
        self._now = now
        self._randomness = randomness
        self._seconds = seconds
        self._key_of = key_of

    async def issue(self, key: Key) -> tuple[str, float]:
        seconds = self._seconds()
        ticket = PREFIX + base64.urlsafe_b64encode(self._randomness(24)).decode()
        until = int((self._now() + seconds) * 1000)
        item: Item = {"pk": _TICKETS, "sk": _name(ticket), "key": key.id, "until": until, "ttl": until // 1000 + 60}
        await self._table.put(item)
        return ticket, seconds

    async def redeem(self, ticket: str) -> Key | None:
        if not ticket.startswith(PREFIX):
            return None
        item = await self._table.take(_TICKETS, _name(ticket))
        if item is None or int(item["until"]) < self._now() * 1000:
            return None
        return self._key_of(str(item["key"]))


def _name(ticket: str) -> str:
    """A copy of the table opens no socket."""
    return hashlib.sha256(ticket.encode()).hexdigest()

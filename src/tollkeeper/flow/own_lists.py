"""Lists of what a provider keeps for everybody (files, batches, …): each caller gets its own tenant's part.

A page is read whole, within a bound. Where nothing on it is the caller's and more follow, the next is asked for, within a
bound, since clients take a page without anything for the last one.
"""

import asyncio
from urllib.parse import parse_qs

from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.flow import made_ids
from tollkeeper.flow.choosing import Pool
from tollkeeper.flow.failover import Failover
from tollkeeper.flow.headers import value_of
from tollkeeper.flow.listed import Listed
from tollkeeper.flow.named_ids import in_path
from tollkeeper.flow.origins import Bonds
from tollkeeper.flow.routing import Routing

_AT_ONCE = 500
"""Ids looked up before others get their turn."""
_ATTEMPTS = b"x-tollkeeper-attempts"


class OwnLists:
    """One gate's."""

    def __init__(self, bonds: Bonds, failover: Failover) -> None:
        self._bonds = bonds
        self._failover = failover

    def concern(self, call: Call, reply: Reply) -> bool:
        """Whether it may be a list of what is everybody's. A list within one thing is whose that is."""
        return (
            call.method == "GET"
            and self._bonds.watchful
            and 200 <= reply.status < 300
            and not in_path(call.path)
            and b"json" in value_of(reply.headers, b"content-type").lower()
        )

    async def __call__(self, routing: Routing, call: Call, pool: Pool, reply: Reply) -> Reply:
        """The reply without what is others'. Raises TollkeeperError."""
        options = self._bonds.options
        cursors = ("after_id", "before_id") if call.dialect.name.startswith("anthropic") else ("after", "before")
        limit = parse_qs(call.query.decode("latin-1")).get("limit", [""])[0]
        pages = 1
        while True:
            account = value_of(reply.headers, b"x-tollkeeper-model").decode("latin-1").partition("/")[0]
            if account in routing.accounts and routing.accounts[account].shared:
                return reply
            listed = await _read(reply, options.longest_page)
            gone = await self._others(call, listed, account)
            query = listed.next_query(call.query, cursors) if listed.more and listed.all_among(gone) else None
            if query is None:
                break
            if pages >= options.pages:
                raise CallerError(
                    f"Nothing of yours is on the {pages} pages of this list that were looked through. Its operator may "
                    "set [ownership] pages.",
                    code="list_too_long",
                )
            pages += 1
            call.query = query
            made = value_of(reply.headers, _ATTEMPTS)
            reply = await self._failover(call, pool, int(made or 1) + 1)
            if not 200 <= reply.status < 300:
                return reply
        if gone:
            reply.body = listed.without(gone, int(limit) if pages > 1 and limit.isdecimal() else None)
        else:
            reply.body = listed.body
        reply.pour = None
        reply.headers = [header for header in reply.headers if header[0] != b"content-length"]
        return reply

    async def _others(self, call: Call, listed: Listed, account: str) -> set[object]:
        """Ids of what is not the caller's. What belongs to what is its own is remembered to be so."""
        bonds, items = self._bonds, listed.items
        keeps_unknown = bonds.options.unknown == "allow"
        names = list(items)
        gone: set[object] = set()
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            known = bonds.origins.find(some)
            for name in some:
                item, raw = items[name]
                origin = known.get(name)
                if origin is None or not origin.known:
                    if item.nobodys or not keeps_unknown:
                        gone.add(name)
                elif not origin.is_of(call.key):
                    gone.add(name)
                elif origin.account == account:
                    bonds.belongs(made_ids.of_answer(raw).others, origin)
            await asyncio.sleep(0)
        return gone


async def _read(reply: Reply, most: int) -> Listed:
    body = reply.body
    if reply.pour is not None:
        basin = _Basin(most)
        await reply.pour(basin)
        body = bytes(basin.held)
        if basin.overflows:
            raise CallerError(
                f"This list is longer than {most} bytes: ask for less of it, with 'limit'.", code="list_too_long"
            )
    try:
        return Listed(body or b"null")
    except (ValueError, RecursionError):
        raise UpstreamError("The provider's list is not JSON.", code="upstream_bad_answer") from None


class _Basin:
    """Takes what is poured, as far as there is room; the rest runs off."""

    blocked = None

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = bytearray()
        self.overflows = False

    def write(self, data: bytes) -> None:
        if len(self.held) + len(data) > self._most:
            self.overflows = True
        else:
            self.held += data

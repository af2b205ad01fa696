"""The plugins that a request meets, in order, and their way through the phases."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.expressions import Predicate
from tollkeeper.routes.plugin import Outcome, Plugin

Step = tuple["Member", Callable[[Exchange], Outcome]]
"""A plugin, and what it does in one of the phases rewrite and access."""


class Member:
    """One plugin of a chain, with what `_meta` says of it."""

    __slots__ = ("error_response", "filter", "plugin", "priority")

    def __init__(
        self, plugin: Plugin, priority: int | None = None, filter: Predicate | None = None, error_response: Any = None
    ) -> None:
        self.plugin = plugin
        self.priority = plugin.priority if priority is None else priority
        self.filter = filter
        self.error_response = error_response

    def runs(self, exchange: Exchange) -> bool:
        """Whether its filter lets it; asked once for each exchange."""
        if self.filter is None:
            return True
        found = exchange.notes.get(self)
        if found is None:
            found = exchange.notes[self] = self.filter(exchange)
        return bool(found)

    def worded(self, response: Response) -> Response:
        """The plugin's refusal in the words that `_meta.error_response` sets."""
        if self.error_response is None or response.status < 400:
            return response
        if isinstance(self.error_response, str):
            response.body = self.error_response.encode()
        else:
            response.body = msgspec.json.encode(self.error_response)
            response.headers.set(b"content-type", b"application/json")
        return response


class Chain:
    """Plugins sorted into the phases that each of them has."""

    __slots__ = ("access", "body_filter", "header_filter", "keeps_length", "log", "members", "rewrite")

    def __init__(self, members: Iterable[Member]) -> None:
        self.members: Sequence[Member] = sorted(members, key=lambda member: (-member.priority, member.plugin.name))
        self.rewrite: tuple[Step, ...] = tuple((each, each.plugin.rewrite) for each in self._having("rewrite"))
        self.access: tuple[Step, ...] = tuple((each, each.plugin.access) for each in self._having("access"))
        self.header_filter = self._having("header_filter")
        self.body_filter = self._having("body_filter")
        self.log = self._having("log")
        self.keeps_length = all(member.plugin.only_reads for member in self.body_filter)

    def _having(self, phase: str) -> tuple[Member, ...]:
        return tuple(
            member for member in self.members if getattr(type(member.plugin), phase) is not getattr(Plugin, phase)
        )


NOTHING = Chain(())


def pass_through(steps: Sequence[Step], exchange: Exchange) -> Outcome:
    """Runs `rewrite` or `access` of each; the first that answers ends it. To be awaited where one of them has to wait."""
    for member, run in steps:
        if member.filter is not None and not member.runs(exchange):
            continue
        outcome = run(exchange)
        if outcome is None:
            continue
        if not isinstance(outcome, Response):
            return _waited(outcome, member, steps, exchange)
        exchange.answered_by = member.plugin.name
        return member.worded(outcome)
    return None


async def _waited(
    outcome: Awaitable[Response | None], member: Member, steps: Sequence[Step], exchange: Exchange
) -> Response | None:
    response = await outcome
    if response is not None:
        exchange.answered_by = member.plugin.name
        return member.worded(response)
    after = next(place for place, step in enumerate(steps, 1) if step[0] is member)
    following = pass_through(steps[after:], exchange)
    return following if following is None or isinstance(following, Response) else await following


def filter_headers(chains: Sequence[Chain], exchange: Exchange) -> None:
    """The phase header_filter."""
    for chain in chains:
        for member in chain.header_filter:
            if member.filter is None or member.runs(exchange):
                member.plugin.header_filter(exchange)


def filter_body(chains: Sequence[Chain], exchange: Exchange, chunk: bytes, last: bool) -> bytes:
    """The phase body_filter for one piece: each plugin gets what the one before it gave."""
    for chain in chains:
        for member in chain.body_filter:
            if member.runs(exchange):
                chunk = member.plugin.body_filter(exchange, chunk, last)
    return chunk


def log(chains: Sequence[Chain], exchange: Exchange, trouble: Callable[[str, Exception], None]) -> None:
    """The phase log; what goes wrong in one plugin keeps no other from its own."""
    for chain in chains:
        for member in chain.log:
            try:
                if member.runs(exchange):
                    member.plugin.log(exchange)
            except Exception as error:
                trouble(member.plugin.name, error)

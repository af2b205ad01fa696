"""Model names to pools of targets with their states, found once and kept until the config changes."""

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import msgspec

from tollkeeper.core.account import Balancing, Target
from tollkeeper.core.call import Call, Destination
from tollkeeper.core.errors import CallerError
from tollkeeper.core.money import Price
from tollkeeper.flow.choosing import Member, Pool
from tollkeeper.flow.health import Health
from tollkeeper.flow.routing import Routing

_MOST_UNLISTED = 1000
_PLAIN = Balancing()

PriceNow = Callable[[Target], Price | None]
"""What a target costs as of now; None where that is not known."""


class Pools:
    """One gate's. `of` is the hot path: a lookup."""

    def __init__(self, health: Health, price_now: PriceNow) -> None:
        self._health = health
        self._price_now = price_now
        self._routing: Routing | None = None
        self._named: dict[str, Pool] = {}
        self._unnamed: dict[tuple[str | None, str], Pool] = {}
        self._destinations: WeakKeyDictionary[Destination, dict[str | None, Pool]] = WeakKeyDictionary()

    def of(self, routing: Routing, call: Call) -> Pool:
        """Where a call may go. Raises CallerError where there is no such model or provider."""
        if routing is not self._routing:
            self._begin(routing)
        if call.destination is not None:
            return self._given(call.destination, call.model)
        model, provider = call.model, call.provider
        found = self._unnamed.get((provider, call.dialect.name)) if model is None else self._named.get(model)
        return found if found is not None else self._made(routing, call)

    def bound(self, routing: Routing, call: Call, name: str, account: str) -> Pool:
        """Where a call may go that names what `account` keeps as `name`. Raises CallerError where it cannot."""
        if account not in routing.accounts:
            raise CallerError(
                f"'{name}' was made by the provider '{account}', which is no longer configured here.",
                status=404,
                code="provider_not_found",
            )
        if call.model is None:
            return self._pool((routing.unnamed(account),), _PLAIN)
        pool = self.of(routing, call)
        members = [member for member in pool.members if member.target.account.name == account]
        if not members:
            raise CallerError(
                f"'{name}' was made by another provider than those of the model '{call.model}'.",
                code="invalid_value",
                param="model",
            )
        return Pool(members, pool.balancing)

    def _given(self, destination: Destination, model: str | None) -> Pool:
        """Targets without a model of their own are asked for the call's."""
        pools = self._destinations.get(destination)
        if pools is None:
            pools = self._destinations[destination] = {}
        found = pools.get(model)
        if found is None:
            if len(pools) >= _MOST_UNLISTED:
                pools.clear()
            targets = [
                each if each.model is not None else msgspec.structs.replace(each, model=model)
                for each in destination.targets
            ]
            found = pools[model] = self._pool(targets, destination.balancing)
        return found

    def priced(self, pool: Pool) -> Pool:
        """The same, with what least-cost goes by looked up."""
        if not pool.priced:
            for member in pool.members:
                member.price(self._price_now(member.target))
            pool.priced = True
        return pool

    def _begin(self, routing: Routing) -> None:
        self._routing = routing
        self._named = {}
        self._unnamed = {}
        self._health.keep_only(routing.accounts)

    def _made(self, routing: Routing, call: Call) -> Pool:
        if call.model is None:
            pool = self._pool((routing.unnamed(call.provider, call.dialect.name),), _PLAIN)
            self._unnamed[call.provider, call.dialect.name] = pool
            return pool
        pool = self._pool(routing.targets(call.model), routing.balancing.get(call.model, _PLAIN))
        if len(self._named) >= _MOST_UNLISTED + len(routing.models):
            self._named = {name: kept for name, kept in self._named.items() if name in routing.models}
        self._named[call.model] = pool
        return pool

    def _pool(self, targets: Sequence[Target], balancing: Balancing) -> Pool:
        health = self._health
        return Pool([Member(one, health.target(one.account, one.model, one.name)) for one in targets], balancing)

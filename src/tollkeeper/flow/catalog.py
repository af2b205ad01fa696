"""The models that a key may ask for: the configured ones, and what providers without configured models offer."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tollkeeper.core.account import Account, Patience
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Outbound
from tollkeeper.flow.render import credentials
from tollkeeper.flow.routing import Routing

_KEEP = 300.0
_LISTED = ("openai_", "anthropic_")
"""Dialects whose lists of models have the same shape, as far as is read here."""
_VERSION = (b"anthropic-version", b"2023-06-01")
"""Anthropic lists nothing without it; others pass over it."""
_PATIENCE = Patience(connect=3.0, first_byte=5.0, idle=5.0, total=10.0)
_MOST_BYTES = 8 * 1024 * 1024


class Catalog:
    """Lists models. What a provider answered is kept for five minutes; one that does not answer is left out."""

    def __init__(self, routing: Callable[[], Routing], outbound: Outbound, monotonic: Clock) -> None:
        self._routing = routing
        self._outbound = outbound
        self._monotonic = monotonic
        self._kept: dict[str, tuple[Account, float, list[dict[str, Any]]]] = {}

    async def __call__(self, key: Key) -> list[dict[str, object]]:
        """OpenAI's model objects, by id. Names of a provider's own are bare, others `provider/model`."""
        routing = self._routing()
        listed: dict[str, dict[str, object]] = {}
        for name, targets in routing.models.items():
            owner = targets[0].account.name if targets else "tollkeeper"
            listed[name] = {"id": name, "object": "model", "created": 0, "owned_by": owner}
        used = {target.account.name for targets in routing.models.values() for target in targets}
        asked = [account for name, account in routing.accounts.items() if name not in used]
        answers = await asyncio.gather(*(self._of(account) for account in asked))
        alone = len(asked) == 1 and not routing.models
        for account, models in zip(asked, answers, strict=True):
            for model in models:
                name = model["id"]
                own = alone or (account.provider.models and name.startswith(account.provider.models))
                shown = name if own else f"{account.name}/{name}"
                listed.setdefault(shown, {**model, "id": shown})
        return [model for name, model in sorted(listed.items()) if key.may_use(name)]

    async def _of(self, account: Account) -> list[dict[str, Any]]:
        now = self._monotonic()
        kept = self._kept.get(account.name)
        if kept is not None and kept[0] != account:
            kept = None  # the config has changed: it is another server, or another account with it
        if kept is not None and now - kept[1] < _KEEP:
            return kept[2]
        try:
            models = await self._fetch(account)
        except (TollkeeperError, ValueError, RecursionError):
            return kept[2] if kept is not None else []
        self._kept[account.name] = (account, now, models)
        return models

    async def _fetch(self, account: Account) -> list[dict[str, Any]]:
        provider = account.provider
        surface = next((surface for name, surface in provider.speaks.items() if name.startswith(_LISTED)), None)
        if surface is None:
            raise ValueError(f"{account.name} lists no models in a form that is known here")
        url = f"{provider.root(surface)}/models"
        if provider.api_version is not None:
            url += f"?api-version={provider.api_version}"
        headers = [(b"accept", b"application/json"), (b"accept-encoding", b"identity"), _VERSION]
        secret = credentials(account, surface)
        if secret is not None:
            headers.append(secret)
        answer = await self._outbound.send(b"GET", url, headers, b"", _PATIENCE)
        await answer.head()
        body, whole = await answer.read(_MOST_BYTES)
        answer.close()
        if answer.status != 200 or not whole:
            raise ValueError(f"{urlsplit(url).hostname} lists no models")
        found = msgspec.json.decode(body)
        listed = found.get("data") if isinstance(found, dict) else found
        if not isinstance(listed, list):
            raise ValueError(f"{urlsplit(url).hostname} lists no models")
        return [model for model in listed if isinstance(model, dict) and isinstance(model.get("id"), str)]

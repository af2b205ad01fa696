"""The kinds of batch API that are known, by the name that a provider's data has for its own."""

from collections.abc import Callable

from tollkeeper.bulk.batches.anthropic import AnthropicBatches
from tollkeeper.bulk.batches.openai import OpenAIBatches
from tollkeeper.bulk.batches.service import Calls, Service
from tollkeeper.core.account import Account, Target

Headers = list[tuple[bytes, bytes]]


def service_for(kind: str, target: Target, calls: Callable[[Account, Headers], Calls]) -> Service:
    """A service of that kind for the target's account."""
    make, headers = _KINDS[kind]
    account = target.account
    return make(calls(account, headers(account)), target)


def _openai(account: Account) -> Headers:
    secret = (account.secret or "").encode()
    if account.provider.auth == "api-key":
        return [(b"api-key", secret)]
    return [(b"authorization", b"Bearer " + secret)]


def _anthropic(account: Account) -> Headers:
    return [(b"x-api-key", (account.secret or "").encode()), (b"anthropic-version", b"2023-06-01")]


_KINDS: dict[str, tuple[Callable[[Calls, Target], Service], Callable[[Account], Headers]]] = {
    "openai": (OpenAIBatches, _openai),
    "anthropic": (AnthropicBatches, _anthropic),
}
KINDS = tuple(_KINDS)

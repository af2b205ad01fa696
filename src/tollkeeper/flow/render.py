"""A call becomes one provider's request: URL, headers, and the client's own bytes but for what must differ."""

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from urllib.parse import quote

import msgspec
from msgspec import Raw

from tollkeeper.core.account import Account, Target
from tollkeeper.core.call import Call, Upload
from tollkeeper.wire import json_text

_OURS = frozenset(
    # Framing and hop-by-hop (RFC 9110, 7.6.1), credentials, and what would tell a provider about our side.
    b"""host content-length transfer-encoding connection keep-alive proxy-connection te trailer upgrade expect
    authorization api-key x-api-key proxy-authorization proxy-authenticate cookie accept-encoding
    openai-organization openai-project forwarded via x-real-ip x-forwarded-for x-forwarded-host x-forwarded-proto
    x-forwarded-port true-client-ip x-client-ip x-cluster-client-ip x-original-url x-rewrite-url x-http-method
    x-http-method-override x-method-override x-goog-api-key traceparent tracestate baggage x-request-id
    idempotency-key""".split()
)
_OUR_QUERY = frozenset(("api-version", "key", "api_key", "api-key", "apikey", "access_token"))
"""Azure's clients send their api-version wherever they are pointed: only Azure wants it, and then the one configured.
The others are where some clients put their key: it is a key to us."""
_PLAIN = (b"accept-encoding", b"identity")
_NOTHING: Mapping[str, bytes] = {}


@lru_cache(1024)
def _travels(name: bytes) -> bool:
    """Whether a client's header goes on to the provider."""
    return name not in _OURS and not name.startswith((b"x-tollkeeper-", b"cf-", b"sec-"))


class Outgoing:
    """What `Outbound.send` takes, less the timeouts."""

    __slots__ = ("body", "headers", "hide_usage", "method", "url")

    def __init__(
        self,
        method: bytes,
        url: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        hide_usage: bool,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.hide_usage = hide_usage


def render(call: Call, target: Target, limits: Mapping[str, bytes] = _NOTHING) -> Outgoing:
    """The request for `target`, its members changed to what `limits` says.

    Raises CallerError where the call's fields have the wrong shape.
    """
    account = target.account
    headers = [header for header in call.headers if _travels(header[0])]
    headers.append(_PLAIN)
    secret = credentials(account)
    if secret is not None:
        headers.append(secret)
    hide_usage = False
    body: bytes | AsyncIterator[bytes]
    if isinstance(call.body, Upload):
        length = call.body.length
        if call.body.replace is not None and target.model is not None:
            body, length = call.body.replace(target.model)
        else:
            body = call.body.chunks
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
    else:
        body = call.body
        if call.members:
            ask = call.dialect.ask_usage(call.members, account.provider, call.streamed)
            hide_usage = ask.hide_usage
            changes = {**ask.changes, **limits} if limits else ask.changes
            if target.model is not None and not _names(call.members.get("model"), target.model):
                changes = {**changes, "model": _encoded(target.model)}
            if changes:
                body = json_text.replaced(body, dict(call.members), changes)
    return Outgoing(call.method.encode(), _url(call, target), headers, body, hide_usage)


def _names(member: Raw | None, model: str) -> bool:
    """Whether the body itself names the model: where the path names one, the body may name another."""
    if member is None:
        return False
    return bytes(member) == _encoded(model) or msgspec.json.decode(member) == model


@lru_cache(1024)
def _encoded(model: str) -> bytes:
    return msgspec.json.encode(model)


def credentials(account: Account) -> tuple[bytes, bytes] | None:
    """The one header that carries our key; None where there is none."""
    if account.secret is None or account.provider.auth == "none":
        return None
    if account.provider.auth == "api-key":
        return b"api-key", account.secret.encode()
    return b"authorization", b"Bearer " + account.secret.encode()


def _url(call: Call, target: Target) -> str:
    provider = target.account.provider
    path = call.path
    if provider.paths == "azure" and target.model is not None:
        # https://learn.microsoft.com/azure/ai-services/openai/reference: the deployment is in the path.
        path = f"deployments/{quote(target.model, safe='')}/{path}"
    url = f"{provider.base_url}/{path}"
    query = call.query.decode("ascii", "ignore")
    if query:
        query = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in _OUR_QUERY)
    if provider.api_version is not None:
        query = f"{query}&" * bool(query) + f"api-version={quote(provider.api_version, safe='')}"
    return f"{url}?{query}" if query else url

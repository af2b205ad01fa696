"""A call becomes one provider's request: URL, headers, and the client's own bytes but for what must differ."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

import msgspec
from msgspec import Raw

from tollkeeper.core.account import Account, Target
from tollkeeper.core.call import Call, Upload
from tollkeeper.core.errors import CallerError
from tollkeeper.core.provider import Surface
from tollkeeper.core.remembered import Remembered
from tollkeeper.dialects.paths import RELAYED
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
_PLACE = "{model}"
"""Stands in a call's path where the provider's has the model's name."""
_NAMES_MODEL = "models/"
"""How Gemini's paths begin; its requests name no model themselves."""
_USUAL_PATH = 64
"""Characters: a longer one is hardly asked for twice."""
_PLAIN = (b"accept-encoding", b"identity")
_NOTHING: Mapping[str, bytes] = {}


_travels = Remembered[bytes, bool](
    lambda name: name not in _OURS and not name.startswith((b"x-tollkeeper-", b"cf-", b"sec-"))
)
"""Whether a client's header goes on to the provider."""
_encoded = Remembered[str, bytes](msgspec.json.encode)
_method = Remembered[str, bytes](str.encode)
_address = Remembered[tuple[str, str], str]("/".join)
"""Of (URL before the paths, path)."""


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
    surface = account.provider.surface(call.dialect.name, translated=call.dialect.name in RELAYED)
    if surface is None:
        raise CallerError(
            f"The provider '{account.name}' has nothing at /{call.path[:64]}.",
            status=404,
            code="endpoint_not_found",
        )
    headers = [header for header in call.headers if _travels[header[0]]]
    headers.append(_PLAIN)
    secret = credentials(account, surface)
    if secret is not None:
        headers.append(secret)
    headers += account.headers
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
            changes = {**ask.changes, **nested(call.members, limits)} if limits else ask.changes
            in_path = call.path.startswith(_NAMES_MODEL)
            if target.model is not None and not in_path and not _names(call.members.get("model"), target.model):
                changes = {**changes, "model": _encoded[target.model]}
            if changes:
                body = json_text.replaced(body, dict(call.members), changes)
    return Outgoing(_method[call.method], _url(call, target, surface), headers, body, hide_usage)


def _names(member: Raw | None, model: str) -> bool:
    """Whether the body itself names the model: where the path names one, the body may name another."""
    if member is None:
        return False
    return bytes(member) == _encoded[model] or msgspec.json.decode(member) == model


def nested(members: Mapping[str, Raw], limits: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """`limits` as members of a request that has `members`: "options.num_predict" is one inside of `options`."""
    if not any("." in name for name in limits):
        return limits
    changes = {}
    for name, value in limits.items():
        outer, _, inner = name.partition(".")
        if inner:
            given = msgspec.json.decode(members[outer]) if outer in members else None
            value = msgspec.json.encode({**(given if isinstance(given, dict) else {}), inner: Raw(value)})
        changes[outer] = value
    return changes


def amended(call: Call, target: Target) -> Call:
    """A call in the target's dialect with what the target changes in every request."""
    if target.amend is None or not call.members or not isinstance(call.body, bytes):
        return call
    changes = target.amend(call.dialect.name, call.members)
    if not changes:
        return call
    body = json_text.replaced(call.body, dict(call.members), changes)
    return msgspec.structs.replace(call, body=body, members=json_text.members(body))


def credentials(account: Account, surface: Surface) -> tuple[bytes, bytes] | None:
    """The one header that carries our key; None where there is none."""
    auth = surface.auth or account.provider.auth
    if account.secret is None or auth == "none":
        return None
    if auth == "bearer":
        return b"authorization", b"Bearer " + account.secret.encode()
    return auth.encode(), account.secret.encode()


def _url(call: Call, target: Target, surface: Surface) -> str:
    provider = target.account.provider
    path = call.path
    without_query = not (call.query or provider.api_version or target.account.query)
    if without_query and provider.paths == "openai" and len(path) <= _USUAL_PATH and _PLACE not in path:
        return _address[provider.root(surface), path]
    if _PLACE in path:
        path = path.replace(_PLACE, quote(target.model or "", safe=""))
    if provider.paths == "azure" and target.model is not None:
        # https://learn.microsoft.com/azure/ai-services/openai/reference: the deployment is in the path.
        path = f"deployments/{quote(target.model, safe='')}/{path}"
    url = provider.base_url if provider.paths == "none" else f"{provider.root(surface)}/{path}"
    query = call.query.decode("ascii", "ignore")
    if query:
        query = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in _OUR_QUERY)
    if provider.api_version is not None:
        query = f"{query}&" * bool(query) + f"api-version={quote(provider.api_version, safe='')}"
    if target.account.query:
        query = f"{query}&" * bool(query) + target.account.query
    return f"{url}?{query}" if query else url

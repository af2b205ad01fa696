"""An OpenID provider as a plugin asks it: what it knows of tokens, new tokens, and who somebody is."""

import base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from tollkeeper.core import signed_tokens
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Outbound
from tollkeeper.core.signed_tokens import ASYMMETRIC, BadToken
from tollkeeper.routes.issuer import Issuer

_MOST_TOKENS = 10_000
_FRAMING = (b"host", b"content-length", b"content-encoding", b"expect")
"""Headers of a caller's that would say how another request is to be read, or who is asked."""


class OpenidProvider:
    """`conf` is the plugin openid-connect's."""

    def __init__(self, conf: Mapping[str, Any], outbound: Outbound, now: Clock, monotonic: Clock) -> None:
        self._conf = conf
        self._now = now
        self._monotonic = monotonic
        self._issuer = Issuer(
            outbound,
            [conf["discovery"]],
            monotonic,
            keep=float(conf["jwk_expires_in"]),
            seconds=float(conf["timeout"]),
        )
        self._introspected: OrderedDict[
            tuple[str, tuple[tuple[bytes, bytes], ...]], tuple[float, Mapping[str, Any]]
        ] = OrderedDict()
        """By token and what was added to its introspection: what holds for one tenant may not for another."""

    async def document(self) -> Mapping[str, Any]:
        """What it says of itself (OpenID Connect Discovery 1.0). Raises TollkeeperError."""
        return await self._issuer.document()

    async def endpoint(self, name: str) -> str:
        """One of its endpoints. Raises TollkeeperError where it has none of that name."""
        found = (await self.document()).get(name)
        if not isinstance(found, str):
            raise TollkeeperError(f"The identity provider has no {name}.", status=503)
        return found

    async def claims(self, token: str, added: Sequence[tuple[bytes, bytes]] = ()) -> Mapping[str, Any]:
        """What a bearer token says, once it is known to be good. `added` are headers that its introspection gets besides.

        Raises BadToken, and TollkeeperError for the provider.
        """
        if "public_key" in self._conf:
            algorithm = self._conf.get("token_signing_alg_values_expected", "RS256")
            return self._timed(signed_tokens.verified(token, self._conf["public_key"], [algorithm]))
        if self._conf["use_jwks"]:
            return await self.signed(token, check_issuer="issuer" not in self._conf.get("claim_validator", {}))
        return await self._introspect(token, tuple(added))

    async def signed(self, token: str, *, check_issuer: bool = True) -> dict[str, Any]:
        """What a token says that one of its published keys signed, and that holds now. Raises as `claims` does."""
        expected = self._conf.get("token_signing_alg_values_expected")
        claims = self._timed(await self._issuer.verified(token, ASYMMETRIC if expected is None else (expected,)))
        issuer = (await self.document()).get("issuer")
        if issuer is not None and check_issuer and claims.get("iss") != issuer:
            raise BadToken("token is of another issuer")
        return claims

    async def tokens(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Its answer to a grant (RFC 6749, 5.1). Raises BadToken where it gives none, TollkeeperError where it is away."""
        headers, more = self._client(self._conf["token_endpoint_auth_method"])
        url = await self.endpoint("token_endpoint")
        status, given = await self._issuer.answer("POST", url, headers, urlencode({**form, **more}).encode())
        given = given or {}
        if status in (400, 401) or (status == 200 and not isinstance(given.get("access_token"), str)):
            raise BadToken(f"the identity provider gives no token: {given.get('error', 'no access_token')}")
        if status != 200:
            raise TollkeeperError(f"{urlsplit(url).hostname} answered {status}.", status=503)
        return given

    async def user(self, access_token: str, subject: object) -> Mapping[str, Any] | None:
        """What it says of whoever the token is for; None where it says nothing, or speaks of somebody else."""
        url = (await self.document()).get("userinfo_endpoint")
        if not isinstance(url, str):
            return None
        bearer = (b"authorization", b"Bearer " + access_token.encode("latin-1", "replace"))
        status, found = await self._issuer.answer("GET", url, [bearer, (b"accept", b"application/json")])
        # OpenID Connect Core 1.0, 5.3.2: its subject must be that of the ID token.
        return found if status == 200 and found is not None and found.get("sub") == subject else None

    def _timed(self, claims: dict[str, Any]) -> dict[str, Any]:
        signed_tokens.check_times(claims, self._now())
        return claims

    def _client(self, method: str) -> tuple[list[tuple[bytes, bytes]], dict[str, str]]:
        """How this gate says who it is: headers, and fields of the form."""
        client, secret = self._conf["client_id"], self._conf["client_secret"]
        headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        if method == "client_secret_post":
            return headers, {"client_id": client, "client_secret": secret}
        pair = f"{quote_plus(client)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1: both are form-encoded first
        headers.append((b"authorization", b"Basic " + base64.b64encode(pair.encode())))
        return headers, {}

    async def _introspect(self, token: str, added: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, Any]:
        """RFC 7662."""
        interval: int = self._conf["introspection_interval"]
        now = self._monotonic()
        known = self._introspected.get((token, added))
        if known is not None and now < known[0]:
            return self._timed(dict(known[1]))
        endpoint = self._conf.get("introspection_endpoint") or await self.endpoint("introspection_endpoint")
        headers, more = self._client(self._conf["introspection_endpoint_auth_method"])
        form = {"token": token, "token_type_hint": "access_token", **more}
        ours = {name for name, _ in headers}
        headers += [pair for pair in added if pair[0] not in ours and pair[0] not in _FRAMING]
        claims = await self._issuer.fetch("POST", endpoint, headers, urlencode(form).encode())
        if claims.get("active") is not True:
            raise BadToken("token is not active")
        self._timed(dict(claims))
        if interval:
            self._introspected[token, added] = (now + interval, claims)
            if len(self._introspected) > _MOST_TOKENS:
                self._introspected.popitem(last=False)
        return claims

"""Signing in by a browser with an OpenID provider: the authorization code flow with PKCE, and a session in sealed cookies.

OpenID Connect Core 1.0, 3.1; RFC 7636. What was asked for first is asked for again once somebody is known.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tollkeeper.core.ids import Clock
from tollkeeper.core.signed_tokens import BadToken
from tollkeeper.routes import sealed_cookies
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.openid_provider import OpenidProvider
from tollkeeper.routes.proxying import target
from tollkeeper.routes.sealed_cookies import Cookies

SESSION = "session"
_ON_ITS_WAY = "session_state_"
_PATIENCE = 600
"""Seconds that somebody has to sign in."""
_MOST_BEGUN = 4
"""Sign-ins that a browser may have begun at one time: a page that asks for many things at once begins one for each."""
_EARLY = 10.0
"""Seconds before its end in which an access token is renewed."""
_RENEWED = 60.0
"""Seconds for which requests with the cookie of before get the tokens that another of them has fetched."""
_MOST_RENEWED = 1000
_SUFFIX = "/.apisix/redirect"
"""APISIX's, where no `redirect_uri` is configured."""


class SignIn:
    """One plugin's. `conf` is that of openid-connect, with a session's secret in it."""

    def __init__(self, conf: Mapping[str, Any], provider: OpenidProvider, now: Clock) -> None:
        self._conf = conf
        self._provider = provider
        self._now = now
        session = conf["session"]
        self._lifetime: int = session.get("absolute_timeout", session.get("cookie", {}).get("lifetime", 3600))
        self._early: int = max(_EARLY, conf["access_token_expires_leeway"])
        self._cookies = Cookies(conf["session"]["secret"], f"{conf['discovery']}\0{conf['client_id']}")
        self._renewing = asyncio.Lock()
        self._renewed: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()

    def returns(self, exchange: Exchange) -> bool:
        """Whether the provider has sent the browser here."""
        return exchange.request.path == urlsplit(self._back(exchange)).path and "state=" in exchange.request.query

    def leaves(self, exchange: Exchange) -> bool:
        """Whether somebody wants to be signed out."""
        path: str = self._conf["logout_path"]
        return exchange.request.path == path

    async def session(self, exchange: Exchange) -> tuple[Mapping[str, Any] | None, list[bytes]]:
        """Whose session the browser has, and cookies to set where it had to be renewed. Raises TollkeeperError."""
        given = _given(exchange)
        found = self._cookies.opened(SESSION, given, self._now())
        if found is None or not self._conf["renew_access_token_on_expiry"]:
            return found, []
        ends = found.get("access_until")
        if ends is None or self._now() < ends - self._early:
            return found, []
        if not found.get("refresh_token"):
            return None, []
        try:
            renewed = await self._renew(found)
        except BadToken:
            return None, []
        return renewed, self._kept(exchange, renewed)

    def hide(self, exchange: Exchange) -> None:
        """The upstream need not see the cookies of this gate's."""
        given = exchange.request.headers.get(b"cookie")
        if given is not None:
            rest = sealed_cookies.without(given, SESSION)
            exchange.request.headers.remove(b"cookie")
            if rest:
                exchange.request.headers.set(b"cookie", rest)

    async def begun(self, exchange: Exchange) -> Response:
        """To the provider, with what must come back with the browser. Raises TollkeeperError."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        back = self._back(exchange)
        asked = {
            **self._conf.get("authorization_params", {}),
            "response_type": "code",
            "client_id": self._conf["client_id"],
            "redirect_uri": back,
            "scope": self._conf["scope"],
            "state": state,
            "nonce": nonce,
        }
        if self._conf["use_pkce"]:
            digest = hashlib.sha256(verifier.encode()).digest()
            asked["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            asked["code_challenge_method"] = "S256"
        kept = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "back": back,
            "to": target(exchange.request).decode(),
        }
        name = _ON_ITS_WAY + state[:8]
        cookies = self._cookies.sealed(name, kept, _PATIENCE, self._now(), secure=self._secure(exchange))
        given = _given(exchange)
        begun = [each for each in given if each.startswith(_ON_ITS_WAY)]
        for old in begun[: 1 - _MOST_BEGUN] if len(begun) >= _MOST_BEGUN else ():
            cookies += sealed_cookies.cleared(old, given, secure=self._secure(exchange))
        url = await self._provider.endpoint("authorization_endpoint")
        return _sent_to(url + ("&" if "?" in url else "?") + urlencode(asked), cookies)

    async def returned(self, exchange: Exchange) -> Response:
        """The browser is back: a session is begun, and it goes where it wanted to.

        Raises BadToken where the provider or the browser is not to be believed, and TollkeeperError.
        """
        query = {name: values[0] for name, values in parse_qs(exchange.request.query).items()}
        given, state = _given(exchange), query.get("state", "")
        name = _ON_ITS_WAY + state[:8]
        kept = self._cookies.opened(name, given, self._now())
        if kept is None or not hmac.compare_digest(kept["state"].encode(), state.encode("utf-8", "replace")):
            raise BadToken("this sign-in was not begun by this browser, or too long ago")
        if "code" not in query:
            raise BadToken(f"the identity provider refused: {query.get('error', 'no code')[:64]}")
        form = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": kept["back"]}
        if self._conf["use_pkce"]:
            form["code_verifier"] = kept["verifier"]
        session = await self._session_of(await self._provider.tokens(form), kept["nonce"])
        cookies = self._kept(exchange, session)
        cookies += sealed_cookies.cleared(name, given, secure=self._secure(exchange))
        return _sent_to(kept["to"] if kept["to"][1:2] not in ("/", "\\") else "/", cookies)

    async def left(self, exchange: Exchange) -> Response:
        """Signed out here, and by the provider where it offers that. Raises TollkeeperError."""
        given = _given(exchange)
        cookies = sealed_cookies.cleared(SESSION, given, secure=self._secure(exchange))
        after = self._conf.get("post_logout_redirect_uri")
        session = self._cookies.opened(SESSION, given, self._now()) or {}
        ends = (await self._provider.document()).get("end_session_endpoint")
        if isinstance(ends, str):
            # OpenID Connect RP-Initiated Logout 1.0, 2.
            asked = {"client_id": self._conf["client_id"]}
            if session.get("id_token"):
                asked["id_token_hint"] = session["id_token"]
            if after is not None:
                asked["post_logout_redirect_uri"] = after
            return _sent_to(ends + ("&" if "?" in ends else "?") + urlencode(asked), cookies)
        if after is not None:
            return _sent_to(after, cookies)
        told = [(b"content-type", b"text/plain; charset=utf-8"), *((b"set-cookie", each) for each in cookies)]
        return Response(200, b"You are signed out.\n", Headers(told))

    async def _session_of(self, tokens: Mapping[str, Any], nonce: str | None, before: Any = None) -> dict[str, Any]:
        """`nonce`: what the ID token must have; None for a renewal, whose ID token may be missing."""
        before = before or {}
        id_token = tokens.get("id_token")
        if isinstance(id_token, str):
            claims = await self._provider.signed(id_token)
            audience = claims.get("aud")
            if self._conf["client_id"] not in (audience if isinstance(audience, list) else [audience]):
                raise BadToken("the ID token is for somebody else")
            if nonce is not None and claims.get("nonce") != nonce:
                raise BadToken("the ID token answers another sign-in")
            if before and claims.get("sub") != before["claims"].get("sub"):
                raise BadToken("the ID token is of somebody else")
        elif before:
            id_token, claims = before["id_token"], before["claims"]
        else:
            raise BadToken("the identity provider gives no ID token")
        access = tokens["access_token"]
        seconds = tokens.get("expires_in", self._conf.get("access_token_expires_in"))
        user = None
        if self._conf["set_userinfo_header"]:
            user = await self._provider.user(access, claims.get("sub"))
        return {
            "access_token": access,
            "access_until": self._now() + seconds if isinstance(seconds, int) else None,
            "refresh_token": tokens.get("refresh_token") or before.get("refresh_token"),
            "id_token": id_token,
            "claims": claims,
            "user": user or before.get("user"),
        }

    async def _renew(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """Once for all requests that come with the same cookie: a provider may take a refresh token but once."""
        async with self._renewing:
            return await self._renewed_by(session["refresh_token"], session)

    async def _renewed_by(self, key: str, session: Mapping[str, Any]) -> dict[str, Any]:
        now = self._now()
        while self._renewed and next(iter(self._renewed.values()))[0] <= now:
            self._renewed.popitem(last=False)
        known = self._renewed.get(key)
        if known is not None:
            return known[1]
        form = {"grant_type": "refresh_token", "refresh_token": key}
        renewed = await self._session_of(await self._provider.tokens(form), None, session)
        self._renewed[key] = (now + _RENEWED, renewed)
        if len(self._renewed) > _MOST_RENEWED:
            self._renewed.popitem(last=False)
        return renewed

    def _kept(self, exchange: Exchange, session: Mapping[str, Any]) -> list[bytes]:
        """Raises BadToken where the tokens are too much for cookies."""
        try:
            return self._cookies.sealed(SESSION, session, self._lifetime, self._now(), secure=self._secure(exchange))
        except ValueError as error:
            raise BadToken(f"the tokens are {error}") from None

    def _secure(self, exchange: Exchange) -> bool:
        """Whether the browser comes over TLS, which may end before this gate."""
        return exchange.request.scheme == "https" or self._conf.get("redirect_uri", "").startswith("https://")

    def _back(self, exchange: Exchange) -> str:
        """Where the provider sends the browser: `redirect_uri`, or below what was asked for."""
        request = exchange.request
        given: str = self._conf.get("redirect_uri", "")
        if not given:
            path = request.path.rstrip("/")
            given = path if path.endswith(_SUFFIX) else path + _SUFFIX
        if not given.startswith("/"):
            return given
        host = (request.headers.get(b"host") or b"").decode("latin-1")
        return f"{request.scheme}://{host}{given}"


def _given(exchange: Exchange) -> dict[str, str]:
    return sealed_cookies.read(exchange.request.headers.get(b"cookie") or b"")


def _sent_to(url: str, cookies: list[bytes]) -> Response:
    place = url.encode("ascii", "ignore").replace(b"\r", b"").replace(b"\n", b"")
    told = [(b"location", place), (b"cache-control", b"no-store"), *((b"set-cookie", each) for each in cookies)]
    return Response(302, b"", Headers(told))

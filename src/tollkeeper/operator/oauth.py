"""OAuth for /mcp on the operator port: whose access tokens open it, and where clients learn which issuer gives them.

The gate is a resource server and nothing else: it issues no tokens and passes none on. RFC 9728 (metadata), RFC 6750
(bearer tokens), RFC 8707 (a token is for one resource), RFC 9068 (claims);
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization

What checks signatures is loaded with the first token: most gates see none.
"""

import asyncio
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Outbound
from tollkeeper.mcp.options import OAuthOptions

if TYPE_CHECKING:
    from tollkeeper.routes.issuer import Issuer

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_NAME = "Tollkeeper administration"
_LOADED_LATE = ("tollkeeper.core.signed_tokens", "tollkeeper.routes.issuer")


class Caller(Struct, frozen=True):
    """Who came through the guard to /mcp."""

    writes: bool = True
    """Whether everything may be done, or only looked at."""
    who: str | None = None
    """What a token says; a key says nothing, and whoever shows it may say so itself."""
    wider: CallerError | None = None
    """What to answer where more is asked for than a token's scopes allow: a client can have its user grant more."""


class OAuth:
    """Takes access tokens as the config now says. `options` is asked at each request."""

    def __init__(
        self, options: Callable[[], OAuthOptions | None], outbound: Outbound, now: Clock, monotonic: Clock
    ) -> None:
        self._options = options
        self._outbound = outbound
        self._now = now
        self._monotonic = monotonic
        self._known: tuple[OAuthOptions, Issuer] | None = None
        self._loaded = False

    def metadata(self, path: str) -> dict[str, Any] | None:
        """The document at a path below the well-known one (RFC 9728, 3); None where there is none."""
        options = self._options()
        if options is None or path.rstrip("/") not in ("", "/mcp", options.resource_path):
            return None
        return {
            "resource": options.resource,
            "resource_name": _NAME,
            "authorization_servers": [options.issuer],
            "scopes_supported": [options.read_scope, options.write_scope],
            "bearer_methods_supported": ["header"],
        }

    def refusal(self, problem: str | None = None) -> CallerError:
        """The 401 for who shows no key and no token, or one that is not good because of `problem`."""
        options = self._options()
        if options is None:
            return key_needed()
        scopes = f"{options.read_scope} {options.write_scope}"
        if problem is None:
            headers = _challenge(options, scopes)
            return CallerError("An access token or a key is needed.", status=401, code="invalid_token", headers=headers)
        return CallerError(
            f"The access token is not good: {problem}.",
            status=401,
            code="invalid_token",
            headers=_challenge(options, scopes, "invalid_token"),
        )

    async def caller(self, token: bytes) -> Caller:
        """Whoever shows this token. Raises CallerError (401, 403), and TollkeeperError (503) for the issuer."""
        options = self._options()
        if options is None or not token:
            raise self.refusal()
        try:
            claims = await self._claims(token.decode("ascii", "replace"), options)
        except ValueError as error:  # signed_tokens.BadToken
            raise self.refusal(str(error)) from None
        return _of_claims(claims, options)

    async def _claims(self, token: str, options: OAuthOptions) -> Mapping[str, Any]:
        if not self._loaded:  # a tenth of a second of CPU, which calls are not to stand still for
            for module in _LOADED_LATE:
                await asyncio.to_thread(import_module, module)
            self._loaded = True
        from tollkeeper.core import signed_tokens

        # What anybody can read in it is looked at first: what is not for here makes nobody ask the issuer for keys.
        _, unproved = signed_tokens.unverified(token)
        self._check(unproved, options)
        claims = await self._issuer(options).verified(token, options.algorithms)
        self._check(claims, options)
        return claims

    def _check(self, claims: Mapping[str, Any], options: OAuthOptions) -> None:
        from tollkeeper.core.signed_tokens import BadToken, check_times

        if claims.get("iss") != options.issuer:
            raise BadToken("it is of another issuer")
        audience = claims.get("aud")
        wanted = options.resource if options.audience is None else options.audience
        if wanted not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("it is for another audience")
        if "exp" not in claims:
            raise BadToken("it does not say when it ends")
        check_times(claims, self._now(), options.leeway_seconds)

    def _issuer(self, options: OAuthOptions) -> "Issuer":
        from tollkeeper.routes.issuer import Issuer

        if self._known is None or self._known[0] != options:
            issuer = Issuer(
                self._outbound,
                options.documents,
                self._monotonic,
                keep=options.keep_seconds,
                seconds=options.timeout,
                look_again=options.look_again_seconds,
                issuer=options.issuer,
                jwks_uri=options.jwks_uri,
            )
            self._known = (options, issuer)
        return self._known[1]


def key_needed() -> CallerError:
    """The 401 where nothing but a key opens."""
    return CallerError(
        "The operator key is needed, as X-API-KEY or bearer token. It is in operator.key in the gate's home.",
        status=401,
        code="invalid_api_key",
        headers=((b"www-authenticate", b"Bearer"),),
    )


def _of_claims(claims: Mapping[str, Any], options: OAuthOptions) -> Caller:
    """Raises CallerError (403)."""
    subject = claims.get("sub")
    if options.subjects and subject not in options.subjects:
        raise CallerError("This subject may not use the gate.", status=403, code="subject_not_allowed")
    granted = _scopes(claims)
    both = f"{options.read_scope} {options.write_scope}"
    if options.writes(granted):
        return Caller(True, _who(claims))
    if options.reads(granted):
        return Caller(False, _who(claims), _insufficient(options, both))
    raise _insufficient(options, options.read_scope)


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    """`scope` is a text of several (RFC 9068, 2.2.3); some issuers have `scp`, a text or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            found |= set(value.split())
        elif isinstance(value, list):
            found |= {each for each in value if isinstance(each, str)}
    return found


def _who(claims: Mapping[str, Any]) -> str:
    """For the history: the subject, or the client where it acts for nobody."""
    return str(claims.get("sub") or claims.get("client_id") or "oauth")[:128]


def _insufficient(options: OAuthOptions, scopes: str) -> CallerError:
    return CallerError(
        f"This needs an access token with the scope {scopes.split()[-1]}.",
        status=403,
        code="insufficient_scope",
        headers=_challenge(options, scopes, "insufficient_scope"),
    )


def _challenge(options: OAuthOptions, scopes: str, error: str | None = None) -> tuple[tuple[bytes, bytes], ...]:
    split = urlsplit(options.resource)
    place = f"{split.scheme}://{split.netloc}{WELL_KNOWN}{options.resource_path}"
    said = "" if error is None else f'error="{error}", '
    value = f'Bearer {said}resource_metadata="{place}", scope="{scopes}"'
    return ((b"www-authenticate", value.encode("latin-1", "replace")),)


def unavailable(error: TollkeeperError) -> TollkeeperError:
    """What a client is told where the issuer does not answer; why is for the log."""
    return TollkeeperError(
        "The issuer of access tokens does not answer; keys are still taken.",
        status=503,
        code=error.code,
        retryable=True,
        headers=((b"retry-after", b"5"),),
    )

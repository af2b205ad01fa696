"""[mcp]: whether tools are offered to chat clients, which web pages may ask for them, and who answers for them."""

from collections.abc import Set
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta, Struct, field

from tollkeeper.mcp.origins import is_loopback

Signature = Literal["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"]
"""Algorithms of which the issuer publishes the key. One with a shared secret would let whoever reads the key sign."""
Scope = Annotated[str, Meta(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+$")]
"""RFC 6749, 3.3."""
Seconds = Annotated[float, Meta(gt=0)]


class OAuthOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[mcp.oauth]: whose access tokens the operator port's /mcp takes beside the keys."""

    issuer: str
    """As its tokens and its discovery document name it."""
    resource: str
    """Where clients reach the operator port's /mcp: what they ask the issuer a token for."""
    audience: str | None = None
    """What tokens name as theirs in place of the resource, for issuers that have names of their own for it."""
    read_scope: Scope = "tollkeeper:read"
    """The tools that change nothing."""
    write_scope: Scope = "tollkeeper:write"
    """All tools."""
    subjects: list[str] = []
    """Whose tokens are taken, by `sub`; none: everybody's to whom the issuer gives a scope."""
    algorithms: Annotated[list[Signature], Meta(min_length=1)] = field(
        default_factory=lambda: ["RS256", "ES256", "PS256", "EdDSA"]
    )
    jwks_uri: str | None = None
    """Where the issuer's keys are, if it has no discovery document."""
    keep_seconds: Seconds = 3600.0
    """How long its document and keys are used before they are fetched again."""
    look_again_seconds: Annotated[float, Meta(ge=0)] = 10.0
    """How long after a look for keys another may be had, when a token names one that is not known."""
    timeout: Seconds = 5.0
    """Seconds that the issuer has for an answer."""
    leeway_seconds: Annotated[float, Meta(ge=0, le=300)] = 10.0
    """By how much the issuer's clock may be off."""

    def __post_init__(self) -> None:
        for name, value in (("issuer", self.issuer), ("resource", self.resource), ("jwks_uri", self.jwks_uri)):
            if value is not None:
                _check_url(name, value)
        if _short(self.read_scope) == _short(self.write_scope):
            raise ValueError("read_scope and write_scope are the same")

    def reads(self, granted: Set[str]) -> bool:
        """Whether a token's scopes let its caller look."""
        return not granted.isdisjoint((self.read_scope, _short(self.read_scope)))

    def writes(self, granted: Set[str]) -> bool:
        """Whether they let him do everything."""
        return not granted.isdisjoint((self.write_scope, _short(self.write_scope)))

    @property
    def documents(self) -> list[str]:
        """Where the issuer's document may be: RFC 8414, 3.1; OpenID Connect Discovery, 4."""
        split = urlsplit(self.issuer)
        host, path = f"{split.scheme}://{split.netloc}", split.path.rstrip("/")
        found = [
            f"{host}/.well-known/oauth-authorization-server{path}",
            f"{host}/.well-known/openid-configuration{path}",
            f"{host}{path}/.well-known/openid-configuration",
        ]
        return list(dict.fromkeys(found))

    @property
    def resource_path(self) -> str:
        """The path of the resource, without a slash at its end."""
        return urlsplit(self.resource).path.rstrip("/")


class AdminOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[mcp.admin]: whose routes the operator port's tools are about, where they are not the gate's own."""

    url: str
    """Of an Admin API of APISIX's kind."""
    key: str
    """Its key: `env:NAME` or `file:PATH`."""
    gateway: str | None = None
    """Where its gateway takes requests, for `send_request`."""

    def __post_init__(self) -> None:
        for name, value in (("url", self.url), ("gateway", self.gateway)):
            if value is not None and not value.startswith(("http://", "https://")):
                raise ValueError(f"{name} is no address such as http://host:9180: {value}")


class McpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[mcp]"""

    enabled: bool = True
    """Whether /mcp is there."""
    origins: list[str] = []
    """Web pages' origins that may call it, and the operator port, from a browser, besides their own."""
    route_tools: Annotated[int, Meta(ge=0)] = 200
    """Operations behind routes that a caller is shown as tools, at most."""
    calls_per_minute: Annotated[int, Meta(ge=1)] = 600
    """Requests of one caller to the operator port's /mcp."""
    key_calls_per_minute: Annotated[int, Meta(ge=1)] = 6_000
    """Requests with one key to the gate's /mcp."""
    test_answer_bytes: Annotated[int, Meta(ge=1)] = 20_000
    """Of the answer to a test request, that a model is shown."""
    contact: str = "operators@localhost"
    """Whom users of a chat plugin write to."""
    admin: AdminOptions | None = None
    """Another Admin API for the operator port's tools; read when the gate starts."""
    oauth: OAuthOptions | None = None
    """Where it is left out, only keys open the operator port's /mcp."""


def _short(scope: str) -> str:
    """As Entra ID writes into a token what it was asked for as `api://ID/NAME`: NAME, as `aud` says of what.

    https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference (`scp`)
    """
    return scope.rpartition("/")[2] if "://" in scope else scope


def _check_url(name: str, value: str) -> None:
    try:
        split: SplitResult | None = urlsplit(value)
    except ValueError:
        split = None
    odd = not value.isascii() or not value.isprintable() or any(mark in value for mark in ' "\\?#@')
    if split is None or not split.hostname or odd:
        raise ValueError(f"{name} is no address such as https://host/path: {value}")
    if split.scheme != "https" and not (split.scheme == "http" and is_loopback(split.netloc)):
        raise ValueError(f"{name} must be https://, or http:// on a loopback address: {value}")

"""Access tokens of Google Cloud for a service account: asked for with a signed assertion, kept until they end.

https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from tollkeeper.core import signed_tokens
from tollkeeper.core.errors import TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Outbound
from tollkeeper.routes.asking import ask
from tollkeeper.routes.json_schema import Schema
from tollkeeper.wire import json_text
from tollkeeper.wire.json_text import BadJson

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_USUAL = "https://oauth2.googleapis.com/token"
_HOUR = 3600
SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "service_account_json": {"type": "string", "minLength": 1},
        "max_ttl": {"type": "integer", "minimum": 1},
        "expire_early_secs": {"type": "integer", "minimum": 0, "default": 60},
    },
    "required": ["service_account_json"],
    "additionalProperties": False,
}


def check(conf: Mapping[str, Any]) -> None:
    """Raises ValueError where the service account, unless it is a reference, is none."""
    if not conf["service_account_json"].startswith("$"):
        _account(conf["service_account_json"])


class GoogleTokens:
    """One service account's."""

    def __init__(self, conf: Mapping[str, Any], outbound: Outbound, now: Clock) -> None:
        self._conf = conf
        self._outbound = outbound
        self._now = now
        self._lock = asyncio.Lock()
        self._token: tuple[float, str] | None = None

    async def current(self) -> str:
        """A token that holds for a while yet. Raises UpstreamError where none is given."""
        async with self._lock:
            if self._token is None or self._now() >= self._token[0]:
                self._token = await self._asked()
            return self._token[1]

    async def _asked(self) -> tuple[float, str]:
        now = self._now()
        try:
            account = _account(self._conf["service_account_json"])
            said = {"iss": account["client_email"], "scope": _SCOPE, "iat": int(now), "exp": int(now) + _HOUR}
            url = account.get("token_uri", _USUAL)
            assertion = signed_tokens.signed({**said, "aud": url}, account["private_key"], "RS256")
        except ValueError as error:
            raise UpstreamError(f"The service account is no use: {error}.", code="upstream_auth_failed") from None
        body = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
        kind = (b"content-type", b"application/x-www-form-urlencoded")
        try:
            status, _, found = await ask(self._outbound, "POST", url, [kind], body, seconds=10.0)
            given = json_text.value(found)
        except (TollkeeperError, BadJson):
            status, given = 0, None
        token = given.get("access_token") if status == 200 and isinstance(given, dict) else None
        if not isinstance(token, str):
            raise UpstreamError(f"{urlsplit(url).hostname} gives no access token.", code="upstream_auth_failed")
        seconds = given.get("expires_in")
        seconds = seconds if isinstance(seconds, int) else _HOUR
        seconds = min(seconds, self._conf.get("max_ttl", seconds))
        return now + max(seconds - self._conf.get("expire_early_secs", 60), 1), token


def _account(text: str) -> dict[str, str]:
    """Raises ValueError where it lacks something."""
    try:
        account = json_text.value(text.encode())
    except ValueError:
        account = None
    if not isinstance(account, dict) or not all(
        isinstance(account.get(each), str) for each in ("client_email", "private_key")
    ):
        raise ValueError("auth.gcp.service_account_json is no service account's JSON")
    return account

"""Who may use the Admin API: the operator key for all of it, the viewer key to look."""

import hmac
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import Scope

from tollkeeper.mcp.origins import may_call
from tollkeeper.operator.admin_answers import answer


class AdminKeys:
    """The two roles. `origins` says which pages may use the port now."""

    def __init__(self, operator_key: str, viewer_key: str, origins: Callable[[], Sequence[str]]) -> None:
        self._origins = origins
        self._operator = operator_key.encode()
        self._viewer = viewer_key.encode()

    def refused(self, scope: Scope) -> Response | None:
        """None where the request may go on; else its 401."""
        given = _given(scope)
        if given is None:
            given = _in_cookie(scope)
            if given is not None and not self._from_own_page(scope):
                return _refusal("a cookie is not taken from pages of others")
        if given is None:
            return _refusal("missing apikey")
        if hmac.compare_digest(given, self._operator):
            return None
        if not hmac.compare_digest(given, self._viewer):
            return _refusal("wrong apikey")
        return None if scope["method"] in ("GET", "HEAD", "OPTIONS") else _refusal("invalid method for role viewer")

    def _from_own_page(self, scope: Scope) -> bool:
        """A browser sends a cookie on its own, whoever's page makes it (cross-site request forgery)."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin") and b"origin" not in headers:
            return False
        origin, host = (headers.get(name, b"").decode("latin-1") for name in (b"origin", b"host"))
        return may_call(origin, host, self._origins())


def _given(scope: Scope) -> bytes | None:
    """The query first, then the header, then a bearer token."""
    query: bytes = scope["query_string"]
    in_query = parse_qs(query.decode("latin-1")).get("api_key")
    if in_query:
        return in_query[0].encode("latin-1", "replace")
    headers: dict[bytes, bytes] = dict(scope["headers"])
    found = headers.get(b"x-api-key")
    if found is not None:
        return found.strip()
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _in_cookie(scope: Scope) -> bytes | None:
    try:
        cookie = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1")).get("x_api_key")
    except CookieError:
        return None
    return None if cookie is None else cookie.value.encode("latin-1", "replace")


def _refusal(words: str) -> Response:
    return answer(401, {"error_msg": "failed to check token", "description": words})

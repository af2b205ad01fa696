"""Who may use the Admin API: the operator key for all of it, the viewer key to look."""

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import Scope

from tollkeeper.operator.admin_answers import answer


class AdminKeys:
    """The two roles."""

    def __init__(self, operator_key: str, viewer_key: str) -> None:
        self._operator = operator_key.encode()
        self._viewer = viewer_key.encode()

    def refused(self, scope: Scope) -> Response | None:
        """None where the request may go on; else its 401."""
        given = _given(scope)
        if given is None:
            return _refusal("missing apikey")
        if hmac.compare_digest(given, self._operator):
            return None
        if not hmac.compare_digest(given, self._viewer):
            return _refusal("wrong apikey")
        return None if scope["method"] in ("GET", "HEAD", "OPTIONS") else _refusal("invalid method for role viewer")


def _given(scope: Scope) -> bytes | None:
    """The query first, then the header, then the cookie, then a bearer token."""
    query: bytes = scope["query_string"]
    in_query = parse_qs(query.decode("latin-1")).get("api_key")
    if in_query:
        return in_query[0].encode("latin-1", "replace")
    headers: dict[bytes, bytes] = dict(scope["headers"])
    found = headers.get(b"x-api-key")
    if found is not None:
        return found.strip()
    try:
        cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get("x_api_key")
    except CookieError:
        cookie = None
    if cookie is not None:
        return cookie.value.encode("latin-1", "replace")
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _refusal(words: str) -> Response:
    return answer(401, {"error_msg": "failed to check token", "description": words})

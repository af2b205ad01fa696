"""csrf: changes are taken only from pages that could read this site's cookie (the double submit cookie pattern)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from email.utils import formatdate
from typing import ClassVar

import msgspec

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import check_names, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


class _Token(msgspec.Struct):
    random: str
    expires: float
    """Unix seconds at which it was made."""
    sign: str


class Csrf(Plugin):
    """Gives every answer a signed token as a cookie, and wants it back as a cookie and as a header of the same name."""

    priority = 2980
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "key": {"type": "string", "minLength": 1},
            "expires": {"type": "integer", "minimum": 0, "default": 7200},
            "name": {"type": "string", "minLength": 1, "default": "apisix-csrf-token"},
        },
        "required": ["key"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        check_names([conf["name"]])

    def access(self, exchange: Exchange) -> Response | None:
        if exchange.request.method in _SAFE:
            return None
        name: str = self.conf["name"]
        header = exchange.request.headers.get(name.lower().encode("latin-1", "replace"))
        if not header:
            return _refused("no csrf token in headers")
        cookie = exchange.var("cookie_" + name)
        if not cookie:
            return _refused("no csrf cookie")
        if not hmac.compare_digest(header, written(cookie)):
            return _refused("csrf token mismatch")
        if not self._good(header):
            return _refused("Failed to verify the csrf token signature")
        return None

    def header_filter(self, exchange: Exchange) -> None:
        if exchange.response is None:
            return
        now = self.gate.now()
        drawn = f"{self.gate.random.getrandbits(128):032x}"
        made = _Token(drawn, now, self._signed(drawn, now))
        token = base64.b64encode(msgspec.json.encode(made)).decode()
        until = formatdate(now + self.conf["expires"], usegmt=True)
        cookie = f"{self.conf['name']}={token};path=/;SameSite=Lax;Expires={until}"
        exchange.response.headers.add(b"set-cookie", written(cookie))

    def _good(self, given: bytes) -> bool:
        try:
            token = msgspec.json.decode(base64.b64decode(given, validate=True), type=_Token)
        except (binascii.Error, ValueError, RecursionError, msgspec.MsgspecError):
            return False
        if not hmac.compare_digest(token.sign.encode(), self._signed(token.random, token.expires).encode()):
            return False
        expires: int = self.conf["expires"]
        return not expires or self.gate.now() - token.expires <= expires

    def _signed(self, drawn: str, at: float) -> str:
        return hmac.new(self.conf["key"].encode(), f"{drawn}.{at!r}".encode(), hashlib.sha256).hexdigest()


def _refused(message: str) -> Response:
    return Response.json(401, {"error_msg": message})

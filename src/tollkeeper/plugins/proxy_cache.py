"""proxy-cache: gives an upstream's answer again, for a while (RFC 9111, a shared cache)."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.room import CacheZone, Room
from tollkeeper.routes.variables import filled

MOST_VARIANTS = 64
_OF_AN_ANSWER = 1024
_STATUS = b"apisix-cache-status"
_NOT_KEPT = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"age", _STATUS))
_CONDITIONS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "pattern": r"(^[^\$].+$|^\$[0-9a-zA-Z_]+$)"},
}


@dataclass(slots=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    at: float
    ttl: float


@dataclass(slots=True)
class _Entry:
    """What is kept under one key: by what its answers vary, and each of them."""

    vary: tuple[bytes, ...] = ()
    variants: dict[tuple[bytes, ...], _Answer] = field(default_factory=dict)


class Zone:
    """Answers by key, up to `most` bytes, the least recently used forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def find(self, key: str, headers: Headers) -> _Answer | None:
        """The answer that fits the request, expired ones too."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry.variants.get(_values(entry.vary, headers))

    def keep(self, key: str, vary: tuple[bytes, ...], headers: Headers, answer: _Answer) -> None:
        """In the place of what fitted before."""
        entry = self._entries.get(key)
        if entry is None or entry.vary != vary or len(entry.variants) >= MOST_VARIANTS:
            self.purge(key)
            entry = self._entries[key] = _Entry(vary)
        values = _values(vary, headers)
        before = entry.variants.get(values)
        self._size += _size(answer) - (0 if before is None else _size(before))
        entry.variants[values] = answer
        self._entries.move_to_end(key)
        while self._size > self._most and self._entries:
            self.purge(next(iter(self._entries)))

    def purge(self, key: str) -> bool:
        """Whether there was something."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._size -= sum(map(_size, entry.variants.values()))
        return True


@dataclass(slots=True)
class _Noted:
    key: str
    state: bytes
    vary_from: Headers
    keeps: bool
    ttl: float = 0.0
    vary: tuple[bytes, ...] = ()
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray | None = None


class ProxyCache(Plugin):
    """Both strategies keep answers in memory, each in its zone. What is private or sets a cookie is never kept."""

    priority = 1085
    only_reads = True
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "cache_zone": {"type": "string", "minLength": 1, "maxLength": 100, "default": "disk_cache_one"},
            "cache_strategy": {"type": "string", "enum": ["disk", "memory"], "default": "disk"},
            "cache_key": {**_CONDITIONS, "default": ["$host", "$request_uri"]},
            "cache_http_status": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "integer", "minimum": 200, "maximum": 599},
                "uniqueItems": True,
                "default": [200, 301, 404],
            },
            "cache_method": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "enum": ["GET", "POST", "HEAD"]},
                "uniqueItems": True,
                "default": ["GET", "HEAD"],
            },
            "hide_cache_headers": {"type": "boolean", "default": False},
            "cache_control": {"type": "boolean", "default": False},
            "cache_bypass": _CONDITIONS,
            "no_cache": _CONDITIONS,
            "cache_ttl": {"type": "integer", "minimum": 1},
            "consumer_isolation": {"type": "boolean", "default": True},
            "cache_set_cookie": {"type": "boolean", "default": False},
            "max_resp_body_size": {"type": "integer", "minimum": 1, "default": 64 * 1024 * 1024},
        },
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if "$request_method" in conf.get("cache_key", ()):
            raise ValueError("cache_key variable $request_method unsupported")

    @classmethod
    def check_room(cls, conf: Conf, room: Room) -> None:
        zone = room.cache_zone(conf["cache_zone"])
        if zone is None:
            raise ValueError(f"cache_zone {conf['cache_zone']} not found")
        if zone.strategy != conf["cache_strategy"]:
            raise ValueError(f"invalid or empty cache_zone for cache_strategy: {conf['cache_strategy']}")

    def prepare(self) -> None:
        name = self.conf["cache_zone"]
        # One that is stored, and whose zone is no longer configured, keeps nothing.
        zone = self.gate.room.cache_zone(name) or CacheZone(bytes=1)
        self._zone: Zone = self.gate.shared.setdefault(("proxy-cache", name), Zone(zone.bytes))
        self._ttl = float(self.conf.get("cache_ttl", zone.ttl))

    def access(self, exchange: Exchange) -> Response | None:
        request, conf = exchange.request, self.conf
        purging = request.method == "PURGE"
        if not purging and request.method not in conf["cache_method"]:
            return None
        key = self._key(exchange)
        if purging:
            found = [self._zone.purge(f"{method} {key}") for method in ("GET", "HEAD", "POST")]
            return Response(200 if any(found) else 404)
        keeps = not _any("no_cache", conf, exchange)
        # RFC 9111, 3.5: what answers a credential is its owner's, unless the key tells owners apart.
        if request.headers.get(b"authorization") is not None and not self._isolated(exchange):
            keeps = False
        noted = _Noted(f"{request.method} {key}", b"MISS", Headers(list(request.headers.items)), keeps)
        exchange.notes[self] = noted
        asked = _directives(request.headers) if conf["cache_control"] else {}
        if _any("cache_bypass", conf, exchange) or "no-cache" in asked or "no-store" in asked:
            noted.state = b"BYPASS"
            noted.keeps = noted.keeps and "no-store" not in asked and not _any("cache_bypass", conf, exchange)
            return None
        # RFC 9110, 9.3.2: the answer to a HEAD is that to a GET without its body.
        for method in ("GET", "HEAD") if request.method == "HEAD" else (request.method,):
            answer = self._zone.find(f"{method} {key}", request.headers)
            if answer is None:
                continue
            age = self.gate.monotonic() - answer.at
            if age < answer.ttl and age <= asked.get("max-age", age):
                noted.state, noted.keeps = b"HIT", False
                return _again(answer, age, request.method, method)
            noted.state = b"EXPIRED" if age >= answer.ttl else b"STALE"
        if "only-if-cached" in asked:
            noted.state, noted.keeps = b"MISS", False
            return Response(504)
        return None

    def header_filter(self, exchange: Exchange) -> None:
        noted, response = exchange.notes.get(self), exchange.response
        if noted is None or response is None:
            return
        # What the gate itself answers is for one key, or for one body: neither is in the key of what is kept.
        if exchange.own or exchange.answered_by not in (None, self.name):
            del exchange.notes[self]
            return
        headers = response.headers
        if noted.keeps and exchange.answered_by is None:
            self._begin(noted, response)
        headers.set(_STATUS, noted.state)
        if self.conf["hide_cache_headers"]:
            headers.remove(b"cache-control", b"expires", b"vary")

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        noted: _Noted | None = exchange.notes.get(self)
        if noted is None or noted.body is None:
            return chunk
        noted.body += chunk
        if len(noted.body) > self.conf["max_resp_body_size"]:
            noted.body = None
        elif last and exchange.response is not None:
            kept = _Answer(exchange.response.status, noted.headers, bytes(noted.body), self.gate.monotonic(), noted.ttl)
            self._zone.keep(noted.key, noted.vary, noted.vary_from, kept)
        return chunk

    def _begin(self, noted: _Noted, response: Response) -> None:
        """Decides whether the answer may be kept, and for how long."""
        conf, headers = self.conf, response.headers
        noted.body = None
        said = _directives(headers)
        vary = tuple(sorted({part.strip().lower() for value in headers.all(b"vary") for part in value.split(b",")}))
        if (
            response.status not in conf["cache_http_status"]
            or any(name in said for name in ("private", "no-store", "no-cache"))
            or (headers.get(b"set-cookie") is not None and not conf["cache_set_cookie"])
            or b"*" in vary
        ):
            return
        ttl = self._ttl
        if conf["cache_control"] or conf["cache_strategy"] == "disk":
            ttl = said.get("s-maxage", said.get("max-age", ttl))
        if ttl <= 0:
            return
        noted.ttl, noted.vary = ttl, tuple(name for name in vary if name)
        noted.headers = [pair for pair in headers.items if pair[0] not in _NOT_KEPT]
        noted.body = bytearray()

    def _isolated(self, exchange: Exchange) -> bool:
        return exchange.consumer is not None and self.conf["consumer_isolation"]

    def _key(self, exchange: Exchange) -> str:
        parts = [filled(part, exchange) for part in self.conf["cache_key"]]
        owner = exchange.consumer.name if self._isolated(exchange) and exchange.consumer is not None else ""
        # Each part with its length: no two requests come to one key by their parts running together.
        route = "" if exchange.route is None else exchange.route.id
        return "".join(f"{len(part)}:{part}" for part in (route, owner, *parts))


def _again(answer: _Answer, age: float, method: str, kept: str) -> Response:
    """What is given to a `method`, out of what answered a `kept`."""
    headers = Headers([*answer.headers, (b"age", b"%d" % age)])
    if method == "HEAD":
        if kept == "GET":
            headers.set(b"content-length", b"%d" % len(answer.body))
        return Response(answer.status, b"", headers)
    return Response(answer.status, answer.body, headers)


def _any(name: str, conf: Conf, exchange: Exchange) -> bool:
    return any(filled(each, exchange) not in ("", "0") for each in conf.get(name, ()))


def _directives(headers: Headers) -> dict[str, float]:
    """Of Cache-Control, with their seconds where they have some."""
    found: dict[str, float] = {}
    for value in headers.all(b"cache-control"):
        for part in value.decode("latin-1").lower().split(","):
            name, _, seconds = part.strip().partition("=")
            found[name] = float(seconds.strip('"')) if seconds.strip('"').isdecimal() else 0.0
    return found


def _values(vary: tuple[bytes, ...], headers: Headers) -> tuple[bytes, ...]:
    return tuple(b",".join(headers.all(name)) for name in vary)


def _size(answer: _Answer) -> int:
    return len(answer.body) + sum(len(name) + len(value) for name, value in answer.headers) + _OF_AN_ANSWER

"""request-id: every request has an id that the upstream and the client see."""

import string
import uuid
from collections.abc import Iterable
from random import Random
from typing import ClassVar

from tollkeeper.core.ids import Clock
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.headers import check_names, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_NANO = "_-" + string.digits + string.ascii_letters
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_KSUID_EPOCH = 1_400_000_000
"""Seconds; where ksuid begins to count."""


class RequestId(Plugin):
    """The client's own where it sent one, else one of the kind that was chosen."""

    priority = 12015
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "header_name": {"type": "string", "minLength": 1, "default": "X-Request-Id"},
            "include_in_response": {"type": "boolean", "default": True},
            "algorithm": {
                "type": "string",
                "enum": ["uuid", "nanoid", "range_id", "ksuid", "uuidv7"],
                "default": "uuid",
            },
            "range_id": {
                "type": "object",
                "properties": {
                    "length": {"type": "integer", "minimum": 6, "maximum": 1024, "default": 16},
                    "char_set": {
                        "type": "string",
                        "minLength": 6,
                        "default": "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789",
                    },
                },
                "default": {},
            },
        },
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        check_names([conf["header_name"]])

    def prepare(self) -> None:
        self._header = self.conf["header_name"].lower().encode()

    def rewrite(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        given = headers.get(self._header)
        if not given:
            given = written(self._made())
            headers.set(self._header, given)
        exchange.notes[self] = given

    def header_filter(self, exchange: Exchange) -> None:
        given = exchange.notes.get(self)
        if given is not None and self.conf["include_in_response"] and exchange.response is not None:
            exchange.response.headers.set(self._header, given)

    def _made(self) -> str:
        random, kind = self.gate.random, self.conf["algorithm"]
        if kind == "nanoid":
            return "".join(random.choice(_NANO) for _ in range(21))
        if kind == "range_id":
            of = self.conf["range_id"]
            return "".join(random.choice(of["char_set"]) for _ in range(of["length"]))
        if kind == "ksuid":
            return _ksuid(random, self.gate.now)
        if kind == "uuidv7":
            return _uuid7(random, self.gate.now)
        return str(uuid.UUID(int=random.getrandbits(128), version=4))


def _ksuid(random: Random, now: Clock) -> str:
    number = (int(now()) - _KSUID_EPOCH << 128) | random.getrandbits(128)
    digits = ""
    for _ in range(27):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def _uuid7(random: Random, now: Clock) -> str:
    """RFC 9562, 5.7."""
    number = (int(now() * 1000) & (1 << 48) - 1) << 80 | random.getrandbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62))

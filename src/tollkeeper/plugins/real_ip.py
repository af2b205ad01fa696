"""real-ip: whose request it is where a proxy or balancer stands before the gate."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import ClassVar

from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import CAME_FROM

_FORWARDED = "http_x_forwarded_for"


class RealIp(Plugin):
    """The client's address is what a variable says, where the connection is a trusted proxy's."""

    priority = 23000
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "source": {"type": "string", "minLength": 1},
            "trusted_addresses": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            "recursive": {"type": "boolean", "default": False},
        },
        "required": ["source"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for each in conf.get("trusted_addresses", ()):
            try:
                ip_network(each, strict=False)
            except ValueError:
                raise ValueError(f"invalid ip address: {each}") from None

    def prepare(self) -> None:
        self._trusted = [ip_network(each, strict=False) for each in self.conf.get("trusted_addresses", ())]

    def rewrite(self, exchange: Exchange) -> None:
        request = exchange.request
        if self._trusted and not self._trusts(request.client):
            return
        found = _parsed(self._source(exchange))
        if found is not None:
            exchange.notes.setdefault(CAME_FROM, (request.client, request.client_port))
            request.client, request.client_port = found

    def _source(self, exchange: Exchange) -> str:
        """What the variable says; of a list of proxies the last, or with `recursive` the last that is not trusted."""
        if self.conf["source"] != _FORWARDED:
            return exchange.var(self.conf["source"]) or ""
        listed = b",".join(exchange.request.headers.all(b"x-forwarded-for")).decode("latin-1").split(",")
        if self.conf["recursive"] and self._trusted:
            while len(listed) > 1 and (last := _parsed(listed[-1])) is not None and self._trusts(last[0]):
                listed.pop()
        return listed[-1]

    def _trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._trusted)


def _parsed(text: str) -> tuple[str, int] | None:
    """An address and its port, 0 where it has none; None where it is no address."""
    address, port = text.strip(), ""
    if address.startswith("["):
        address, closed, rest = address[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else ""
        if rest == ":":
            return None
    elif address.count(":") == 1:
        address, _, port = address.partition(":")
        if not port:
            return None
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        return None
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return (str(parsed), int(port or 0)) if "%" not in address else None

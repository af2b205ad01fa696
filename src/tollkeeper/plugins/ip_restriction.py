"""ip-restriction: from which addresses a request may come."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_ADDRESSES: Schema = {"type": "array", "minItems": 1, "items": {"type": "string"}}


class IpRestriction(Plugin):
    """Addresses and networks (CIDR) that may pass, or that may not."""

    priority = 3000
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "message": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "default": "Your IP address is not allowed",
            },
            "response_code": {"type": "integer", "enum": [403, 404], "default": 403},
            "whitelist": _ADDRESSES,
            "blacklist": _ADDRESSES,
        },
        "oneOf": [{"required": ["whitelist"]}, {"required": ["blacklist"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for name in ("whitelist", "blacklist"):
            for each in conf.get(name, ()):
                try:
                    ip_network(each, strict=False)
                except ValueError:
                    raise ValueError(f"invalid ip address: {each}") from None

    def prepare(self) -> None:
        self._white = _networks(self.conf.get("whitelist"))
        self._black = _networks(self.conf.get("blacklist"))

    def access(self, exchange: Exchange) -> Response | None:
        try:
            address = ip_address(exchange.request.client)
        except ValueError:
            address = None
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address

        def among(networks: "list[IPv4Network | IPv6Network]") -> bool:
            return address is not None and any(address in network for network in networks)

        if (self._white is None or among(self._white)) and not (self._black is not None and among(self._black)):
            return None
        return Response.json(self.conf["response_code"], {"message": self.conf["message"]})


def _networks(listed: "list[str] | None") -> "list[IPv4Network | IPv6Network] | None":
    return None if listed is None else [ip_network(each, strict=False) for each in listed]

"""referer-restriction: from which pages a request may come."""

from typing import ClassVar
from urllib.parse import urlsplit

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin

_HOSTS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "pattern": r"^\*?[0-9a-zA-Z\-._]+$"},
}


class RefererRestriction(Plugin):
    """By the host in the header Referer; `*.example.com` stands for every host below it."""

    priority = 2990
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "bypass_missing": {"type": "boolean", "default": False},
            "whitelist": _HOSTS,
            "blacklist": _HOSTS,
            "message": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "default": "Your referer host is not allowed",
            },
        },
        "oneOf": [{"required": ["whitelist"]}, {"required": ["blacklist"]}],
    }

    def access(self, exchange: Exchange) -> Response | None:
        given = exchange.request.headers.get(b"referer")
        if given is None:
            allowed = self.conf["bypass_missing"]
        else:
            try:
                host = urlsplit(given.decode("latin-1")).hostname or ""
            except ValueError:
                host = ""
            if "whitelist" in self.conf:
                allowed = _among(host, self.conf["whitelist"])
            else:
                allowed = not _among(host, self.conf["blacklist"])
        return None if allowed else Response.json(403, {"message": self.conf["message"]})


def _among(host: str, listed: "list[str]") -> bool:
    return any(host.endswith(each[1:].lower()) if each.startswith("*") else host == each.lower() for each in listed)

"""redirect: sends the client elsewhere."""

import re
from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import quote

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.proxying import encoded
from tollkeeper.routes.variables import filled

_GROUP = re.compile(r"\$(?:\{(\d+)\}|(\d+))")


class Redirect(Plugin):
    """To a URI with variables in it, to one made of the path, or to the same one by https."""

    priority = 900
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "ret_code": {"type": "integer", "minimum": 200, "default": 302},
            "uri": {"type": "string", "minLength": 2},
            "regex_uri": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            "http_to_https": {"type": "boolean"},
            "https_port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 443},
            "encode_uri": {"type": "boolean", "default": False},
            "append_query_string": {"type": "boolean", "default": False},
        },
        "oneOf": [{"required": ["uri"]}, {"required": ["regex_uri"]}, {"required": ["http_to_https"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if "regex_uri" in conf:
            try:
                patterns.compiled(conf["regex_uri"][0])
            except BadPattern as error:
                raise ValueError(f"invalid regex_uri({', '.join(conf['regex_uri'])}): {error}") from None
        if conf.get("http_to_https") and conf.get("append_query_string"):
            raise ValueError("only one of `http_to_https` and `append_query_string` can be configured.")

    def prepare(self) -> None:
        pair = self.conf.get("regex_uri")
        self._pattern = None if pair is None else self.gate.patterns.compiled(pair[0])
        self._replacement = "" if pair is None else pair[1]

    def rewrite(self, exchange: Exchange) -> Response | None:
        request, conf = exchange.request, self.conf
        code: int = conf["ret_code"]
        if conf.get("http_to_https"):
            proto = (request.headers.get(b"x-forwarded-proto") or request.scheme.encode()).decode("latin-1")
            if proto == "https":
                return None
            port = "" if conf["https_port"] == 443 else f":{conf['https_port']}"
            uri = f"https://{request.host}{port}{encoded(*request.came).decode()}"
            code = 301 if request.method in ("GET", "HEAD") else 308
        elif "http_to_https" in conf:
            return None
        elif self._pattern is not None:
            match = self._pattern.search(request.path)
            if match is None:
                return None
            found = [match[0], *match.groups("")]

            def group(named: re.Match[str]) -> str:
                number = int(named[1] or named[2])
                return found[number] if number < len(found) else ""

            made = _GROUP.sub(group, self._replacement)
            uri = (
                made
                if "://" in self._replacement
                else request.path[: match.start()] + made + request.path[match.end() :]
            )
        else:
            uri = filled(conf["uri"], exchange)
        if conf["encode_uri"] or not uri.isascii() or not uri.isprintable():
            uri = quote(uri, safe="/:?#[]@!$&'()*+,;=%~", errors="surrogateescape")
        if conf["append_query_string"] and request.query:
            uri += ("&" if "?" in uri else "?") + request.query
        return Response(code, b"", Headers([(b"location", written(uri))]))

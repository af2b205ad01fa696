"""A gate with ordinary routes before an upstream that tells what it was asked."""

import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kit.gate import GateProcess, request
from kit.scripted import Connection, Request, ScriptedUpstream

CONFIG = """
[routing]
allow_nodes = ["127.0.0.0/8"]
[routing.cache_zones.small]
bytes = 6000
[routing.cache_zones.brief]
ttl = 1
strategy = "disk"
[retry]
retries = 1
[providers.openai]
api_key = "sk-not-a-routes"
[providers.groq]
api_key = "sk-not-a-routes-either"
"""
Answered = tuple[int, dict[str, str], bytes]


def telling(asked: Request, connection: Connection) -> bool:
    """Answers with the request as JSON; `?answer-status=`, `?answer-body=` and `?answer-header=name:value` change that."""
    parts = urlsplit(asked.path)
    wanted = parse_qs(parts.query)
    told = {
        "method": asked.method,
        "path": parts.path,
        "query": parts.query,
        "headers": asked.headers,
        "body": asked.body.decode("latin-1"),
    }
    body = wanted["answer-body"][0].encode() if "answer-body" in wanted else json.dumps(told).encode()
    if asked.method == "HEAD":
        head, body = len(body), b""
    else:
        head = len(body)
    status = wanted.get("answer-status", ["200"])[0]
    headers = "".join(f"{each.replace(':', ': ', 1)}\r\n" for each in wanted.get("answer-header", ()))
    if "content-type" not in headers:
        headers += "content-type: application/json\r\n"
    return connection.send(f"HTTP/1.1 {status} X\r\n{headers}content-length: {head}\r\n\r\n".encode() + body)


class Site:
    """One gate and one upstream for many tests: each makes routes of its own."""

    def __init__(self, gate: GateProcess, upstream: ScriptedUpstream) -> None:
        self.gate = gate
        self.upstream = upstream
        self.node = f"127.0.0.1:{upstream.port}"
        self._numbers = itertools.count(1)

    def put(self, path: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """A resource through the Admin API; its answer."""
        status, _, body = self.gate.operator("PUT", "/apisix/admin/" + path, value)
        assert status in (200, 201), body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def route(self, plugins: Mapping[str, Any], **fields: Any) -> str:
        """A new route with these plugins; its path."""
        number = next(self._numbers)
        path = f"/r{number}"
        upstream = {"nodes": {self.node: 1}, "type": "roundrobin"}
        value = {"uri": path + "*", "plugins": plugins, "upstream": upstream, **fields}
        self.put(f"routes/r{number}", {name: each for name, each in value.items() if each is not None})
        return path

    def refused(self, plugins: Mapping[str, Any]) -> str:
        """Why a route with these plugins is not taken."""
        value = {"uri": "/refused", "plugins": plugins, "upstream": {"nodes": {self.node: 1}, "type": "roundrobin"}}
        status, _, body = self.gate.operator("PUT", "/apisix/admin/routes/refused", value)
        assert status == 400, body
        words: str = json.loads(body)["error_msg"]
        return words

    def consumer(self, plugins: Mapping[str, Any], **fields: Any) -> str:
        """A new consumer; its name."""
        name = f"consumer{next(self._numbers)}"
        self.put("consumers", {"username": name, "plugins": plugins, **fields})
        return name

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answered:
        """One request to the gate; underscores in names of headers are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(method, self.gate.url + path, named, body)

    def told(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> dict[str, Any]:
        """What the upstream was asked, where it was."""
        status, _, found = self.ask(path, method, body, **headers)
        assert status == 200, (status, found)
        answer: dict[str, Any] = json.loads(found)
        return answer

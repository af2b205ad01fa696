"""A stand-in for the Admin API of a running APISIX: its envelope, its key, its statuses; no plans, no revisions, no undo.

Made after apisix/admin/*.lua. It is not our own Admin API, so that nothing of ours is on both sides of a test.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

PREFIX = "/apisix/admin/"
KINDS = ("routes", "services", "upstreams", "consumers", "consumer_groups", "plugin_configs", "global_rules", "protos")
SCHEMAS = {"limit-count": {"type": "object", "required": ["count", "time_window"]}, "key-auth": {"type": "object"}}


class ApisixAdmin:
    """Serves on a free loopback port. `stored` is by path below the prefix: "routes/1"."""

    def __init__(self, key: str = "admin-key", *, fills_in: bool = False) -> None:
        self.key = key
        self.stored: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fills_in = fills_in
        """Whether it writes defaults into what it stores, as APISIX before 3.15 does."""
        self.fails: set[str] = set()
        """Paths at which a PUT is refused."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                path = unquote(urlsplit(self.path).path)
                status, told = outer.answer(self.command, path, self.headers.get("x-api-key"), body)
                data = b"" if told is None else json.dumps(told).encode() + b"\n"
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_DELETE = do_POST = do_PATCH = _answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self) -> "ApisixAdmin":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def written(self) -> list[tuple[str, str]]:
        """Requests that changed something, or tried to."""
        return [(method, path) for method, path in self.requests if method in ("PUT", "DELETE", "PATCH")]

    def answer(self, method: str, path: str, key: str | None, body: bytes) -> tuple[int, Any]:
        """(status, JSON)."""
        if key != self.key:
            missing = "missing" if key is None else "wrong"
            return 401, {"error_msg": "failed to check token", "description": f"{missing} apikey"}
        if not path.startswith(PREFIX):
            return 404, {"error_msg": "404 Route Not Found"}
        rest = path.removeprefix(PREFIX)
        self.requests.append((method, rest))
        value = json.loads(body) if body else None
        first, _, last = rest.partition("/")
        if first == "plugins":
            if last == "list":
                return 200, list(SCHEMAS)
            return (
                (200, SCHEMAS[last]) if last in SCHEMAS else (404, {"error_msg": "plugin not found in subsystem http"})
            )
        if first == "schema":
            words = self._wrong(last.removeprefix("validate/"), value)
            return (200, None) if words is None else (400, {"error_msg": words})
        if first not in KINDS:
            return 404, {"error_msg": f"Unsupported resource type: {first}"}
        if method == "GET" and (not last or last.endswith("/credentials")):
            found = [self._told(each) for each in self.stored if each.rpartition("/")[0] == rest]
            return 200, {"list": found, "total": len(found)}
        if method == "PUT":
            return self._put(first, rest, value)
        if rest not in self.stored:
            return 404, {"message": "Key not found"}
        if method == "DELETE":
            del self.stored[rest]
            return 200, {"deleted": "1", "key": f"/apisix/{rest}"}
        return 200, self._told(rest)

    def _put(self, kind: str, rest: str, value: dict[str, Any]) -> tuple[int, Any]:
        for name in ("create_time", "update_time"):
            if name in value:
                return 400, {"error_msg": f"the property is forbidden: {name}"}
        words = self._wrong(kind, value)
        if words is not None or rest in self.fails:
            return 400, {"error_msg": f"invalid configuration: {words or 'it is not to be'}"}
        new = rest not in self.stored
        kept = {**value, "create_time": int(time.time()), "update_time": int(time.time())}
        if self.fills_in and kind == "routes":
            kept = {"priority": 0, "status": 1, **kept}
        self.stored[rest] = kept
        return (201 if new else 200), {"key": f"/apisix/{rest}", "value": kept}

    def _told(self, rest: str) -> dict[str, Any]:
        return {"key": f"/apisix/{rest}", "value": self.stored[rest], "createdIndex": 12, "modifiedIndex": 13}

    @staticmethod
    def _wrong(kind: str, value: dict[str, Any]) -> str | None:
        for name in value.get("plugins", {}):
            if name not in SCHEMAS:
                return f"unknown plugin [{name}]"
        if kind == "routes" and not {"uri", "uris"} & set(value):
            return 'property "uri" is required'
        return None

"""The backends that cases of ordinary routes name: small servers on free ports, which stand for the ports of the cases."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

_QUIET = ("accept", "accept-encoding", "user-agent", "connection", "content-length")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    nominal = 0

    def answer(self) -> None:
        """Answers as t/lib/server.lua of APISIX does."""
        length = int(self.headers.get("content-length", "0"))
        sent = self.rfile.read(length)
        parts = urlsplit(self.path)
        path, headers, status = parts.path, {}, 200
        if self.nominal == 1986:
            status, body, headers = self._cached(parts.query)
        elif path == "/echo":
            body = sent
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("content-length", "connection", "host", "transfer-encoding")
            }
        elif path in ("/hello", "/hello1"):
            body = f"{path[1:]} world\n".encode()
        elif path.startswith("/server_port"):
            body = str(self.nominal).encode()
        elif path == "/plugin_proxy_rewrite":
            host = self.headers.get("host", "").partition(":")[0]
            body = f"uri: {path}\nhost: {host}\nscheme: http\n".encode()
        elif path == "/plugin_proxy_rewrite_args":
            lines = [f"uri: {path}", *(f"{name}: {value}" for name, value in sorted(parse_qsl(parts.query)))]
            body = ("\n".join(lines) + "\n").encode()
        elif path == "/uri" or path.startswith("/uri/"):
            seen = {name.lower(): value for name, value in self.headers.items()}
            lines = [f"{name}: {value}" for name, value in sorted(seen.items()) if name not in _QUIET]
            body = ("\n".join([f"uri: {path}", *lines]) + "\n").encode()
        else:
            status, body = 404, b"404 Not Found\n"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cached(self, query: str) -> tuple[int, bytes, dict[str, str]]:
        if self.path.startswith("/hello-not-found"):
            return 404, b"404 Not Found\n", {}
        given = dict(parse_qsl(query)).get("cc", "max-age=60")
        return 200, b"hello world!", {"cache-control": given}

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_PURGE = answer

    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def backends(*nominal: int) -> Iterator[dict[int, int]]:
    """The real port of each that stands for a nominal one."""
    servers = []
    for number in nominal:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"nominal": number}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
    try:
        yield {number: server.server_address[1] for number, server in zip(nominal, servers, strict=True)}
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class Refusing:
    """Addresses at which connections are counted and closed without a word."""

    def __init__(self, *hosts: str) -> None:
        self.count = 0
        first = socket.create_server((hosts[0], 0))
        self.port = first.getsockname()[1]
        self._sockets = [first, *(socket.create_server((host, self.port)) for host in hosts[1:])]
        for listening in self._sockets:
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                self.count += 1
                connection.close()

    def close(self) -> None:
        """Listens no more."""
        for listening in self._sockets:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

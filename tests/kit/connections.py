"""API Gateway's side of a WebSocket: what is posted to a connection arrives at whoever listens, until it is gone."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Connections:
    """`open` names those that are there, and what takes their messages."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.open: dict[str, Callable[[bytes], None]] = {}
        self.authorizations: list[str] = []


@contextmanager
def connections() -> Iterator[Connections]:
    """Answers 200 for a connection that is open, and 410 for one that is not."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found = re.fullmatch(r"/prod/@connections/([\w=%-]+)", self.path)
            known.authorizations.append(self.headers["authorization"])
            take = known.open.get(unquote(found[1])) if found else None
            if take is not None:
                take(body)
            self.send_response(200 if take is not None else 410)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known = Connections(f"http://127.0.0.1:{server.server_port}/prod")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()

"""One request between a server's thread and the loop: pieces pass one by one, both ways, and a broken answer shows."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.raw import RawClient
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events, usage_of
from kit.vitals import becomes
from tollkeeper.stores.sqlite.reports import Reports
from tollkeeper.wsgi import Application
from tollkeeper.wsgi.exchange import scope_of

ASK = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "/gate",
    "PATH_INFO": "/v1/models/openai/x",
    "QUERY_STRING": "a=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "gate.example",
    "SERVER_PORT": "443",
    "wsgi.url_scheme": "https",
    "HTTP_X_API_KEY": "tk-1",
    "HTTP_CONTENT_TYPE": "forged",
    "CONTENT_TYPE": "application/json",
    "CONTENT_LENGTH": "",
}


def test_a_path_is_what_was_sent_below_the_mount() -> None:
    assert (
        scope_of({**ENVIRON, "REQUEST_URI": "/gate/v1/models/openai%2Fx?a=1"})["raw_path"] == b"/v1/models/openai%2Fx"
    )
    assert scope_of({**ENVIRON, "REQUEST_URI": "http://gate.example/gate"})["raw_path"] == b"/v1/models/openai/x"
    assert scope_of({**ENVIRON, "PATH_INFO": "/v1/models/\xc3\xa9"})["raw_path"] == b"/v1/models/%C3%A9"


def test_headers_come_by_their_names_and_none_twice() -> None:
    assert scope_of(ENVIRON)["headers"] == [(b"x-api-key", b"tk-1"), (b"content-type", b"application/json")]


def test_a_streams_words_pass_as_they_come(
    application: Application, serve: Callable[[Application], int], upstream: ScriptedUpstream, key: str
) -> None:
    first, *rest = chat_events(["one", "two"], usage_of(7, 2))
    step = threading.Event()
    upstream.script = _in_steps(first, b"".join(rest), step)

    with RawClient(serve(application)) as client:
        client.send(_raw(key, json.dumps(ASK).encode()))
        client.read_until(b"one")
        assert b"two" not in client.received
        step.set()
        client.read_until(b"[DONE]")


def test_a_body_of_many_pieces_arrives_whole(application: Application, upstream: ScriptedUpstream, key: str) -> None:
    body = json.dumps({"model": "m", "messages": [], "user": "x" * 300_000}).encode()

    status, pieces = _asked(application, key, body)

    assert (status, b"Hello!" in b"".join(pieces)) == ("200 OK", True)
    assert upstream.requests[0].json()["user"] == "x" * 300_000


def test_a_body_that_is_shorter_than_it_said_is_sent_to_nobody(
    application: Application, upstream: ScriptedUpstream, key: str
) -> None:
    with pytest.raises(ConnectionAbortedError):
        application(_environ(key, b'{"model": "m"', length=500), lambda *_: None)

    assert upstream.requests == []


def test_a_client_that_leaves_midway_is_charged_once(
    application: Application, upstream: ScriptedUpstream, key: str, home: Path
) -> None:
    first, *rest = chat_events(["one", *["two"] * 50], usage_of(7, 51))
    step = threading.Event()
    upstream.script = _in_steps(first, b"".join(rest), step)
    pieces: Any = application(_environ(key, json.dumps(ASK).encode()), lambda *_: None)
    assert b"one" in next(pieces)

    pieces.close()
    step.set()

    reports = Reports(home)
    assert becomes(lambda: len(reports.events(limit=10)) == 1, 30)
    application.stop()
    assert len(reports.events(limit=10)) == 1
    reports.close()


def test_a_stream_that_the_gates_end_cuts_has_an_error_at_its_end(
    application: Application, upstream: ScriptedUpstream, key: str
) -> None:
    first, *rest = chat_events(["one", "two"], usage_of(7, 2))
    over = threading.Event()
    upstream.script = _in_steps(first, b"".join(rest), over)
    pieces = iter(application(_environ(key, json.dumps(ASK).encode()), lambda *_: None))
    assert b"one" in next(pieces)

    application.stop()
    over.set()

    *_, name, data, _, _ = b"".join(pieces).decode().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["code"] == "shutting_down"


def _in_steps(first: bytes, rest: bytes, step: threading.Event) -> Callable[[Request, Connection], None]:
    """Sends the rest when it is told to."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        step.wait(60)
        connection.chunk(rest)
        connection.end()

    return script


def _environ(key: str, body: bytes, length: int | None = None) -> dict[str, Any]:
    return {
        **ENVIRON,
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/v1/chat/completions",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "CONTENT_LENGTH": str(len(body) if length is None else length),
        "wsgi.input": io.BytesIO(body),
    }


def _asked(application: Application, key: str, body: bytes) -> tuple[str, list[bytes]]:
    said: list[str] = []
    pieces = list(application(_environ(key, body), lambda status, headers: said.append(status)))
    return said[0], pieces


def _raw(key: str, body: bytes) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode()
    return head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

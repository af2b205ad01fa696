"""The thread that owns the gate: it gives the home back, and what is under way when it ends is settled."""

import asyncio
import threading
from pathlib import Path

import pytest

from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events
from kit.vitals import becomes
from tollkeeper.core.errors import GateError
from tollkeeper.server.bodies import Message
from tollkeeper.server.door import Door
from tollkeeper.stores.sqlite.reports import Reports
from tollkeeper.stores.sqlite.sole import sole
from tollkeeper.wsgi import environment
from tollkeeper.wsgi.host import Host

ASK = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hello"}]}'


@pytest.fixture
def host(variables: dict[str, str], home: Path) -> Host:
    keys = environment.read(Path(variables["TOLLKEEPER_ENVIRONMENT"]))
    return Host(Path(variables["TOLLKEEPER_CONFIG"]), home, keys, 0.2)


def test_the_home_is_its_own_until_it_stops(host: Host, home: Path) -> None:
    host.start()
    with pytest.raises(GateError, match="Another gate"), sole(home):
        pass

    host.stop(0)
    host.join()

    with sole(home):
        pass
    with pytest.raises(GateError, match="shutting down"):
        host.begin(_nothing)


def test_a_call_that_goes_on_past_the_grace_is_cut_and_settled(
    host: Host, home: Path, upstream: ScriptedUpstream, key: str
) -> None:
    first, *_ = chat_events(["one", "two"], None)
    over, began = threading.Event(), threading.Event()

    def endless(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        over.wait(60)

    upstream.script = endless
    host.start()
    host.begin(lambda gate: _ask(gate, key, began))
    assert began.wait(30)

    host.stop(0.1)
    host.join()
    over.set()

    reports = Reports(home)
    (event,) = reports.events(limit=10)
    reports.close()
    assert (event.outcome, event.quality) == ("gate_stopped", "counted")


def test_a_call_that_ends_within_the_grace_is_whole(
    host: Host, home: Path, upstream: ScriptedUpstream, key: str
) -> None:
    first, *rest = chat_events(["one", "two"], None)
    step, began = threading.Event(), threading.Event()

    def slow(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        step.wait(60)
        connection.chunk(b"".join(rest))
        connection.end()

    upstream.script = slow
    host.start()
    host.begin(lambda gate: _ask(gate, key, began))
    assert began.wait(30)

    host.stop(60)
    assert not becomes(lambda: not host._thread.is_alive(), 0.3)
    step.set()
    host.join()

    reports = Reports(home)
    (event,) = reports.events(limit=10)
    reports.close()
    assert event.outcome == "ok"


async def _nothing(gate: Door) -> None:
    pass


async def _ask(gate: Door, key: str, began: threading.Event) -> None:
    """Asks for a stream, and says when its first word is there."""
    body = [ASK]

    async def receive() -> Message:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        return await asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        if message.get("body"):
            began.set()

    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "query_string": b""}
    await gate(scope, receive, send)

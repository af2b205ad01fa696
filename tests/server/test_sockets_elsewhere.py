"""The WebSocket under another ASGI server than the gate's own: uvicorn as it comes."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kit.sockets import WAIT, closed, frame, frames, say
from tollkeeper.app import open_app
from tollkeeper.server.listener import bind
from tollkeeper.server.opening import door_of


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address and a key."""
    about: list[str] = []
    ready = threading.Event()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        app = open_app(None, tmp_path_factory.mktemp("home"), {}, demo=True)
        _, secret = app.key_store.create("caller")
        app.keys.refresh()
        app.start()
        listening = bind("127.0.0.1", 0)
        config = uvicorn.Config(door_of(app), ws="websockets-sansio", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        servers.append(server)
        about.extend((f"ws://127.0.0.1:{listening.getsockname()[1]}/ws", secret))
        ready.set()
        await server.serve(sockets=[listening])
        await app.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(WAIT)
    yield about[0], about[1]
    servers[0].should_exit = True
    thread.join(WAIT)
    assert not thread.is_alive()


def test_messages_are_answered_and_errors_told(gate: tuple[str, str]) -> None:
    address, key = gate
    headers = {"authorization": f"Bearer {key}"}
    with connect(address + "?format=json", additional_headers=headers, proxy=None, compression=None) as socket:
        say(socket, data="hello", id="a")
        found = frames(socket)
        socket.send("nonsense")
        refusal = frame(socket)

    assert [each["type"] for each in found[:2]] == ["start", "delta"]
    assert [each["type"] for each in found[-2:]] == ["usage", "done"]
    assert refusal["error"]["code"] == "invalid_json"


def test_who_may_not_open_one_is_answered_as_http(gate: tuple[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(gate[0], proxy=None, compression=None):
        pass

    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"


def test_a_client_that_leaves_midway_does_not_hold_the_server_up(gate: tuple[str, str]) -> None:
    address, key = gate
    with connect(address, additional_headers={"authorization": f"Bearer {key}"}, proxy=None) as socket:
        say(socket, data="hello")
        assert socket.recv(WAIT) == "You"
    with connect(address, additional_headers={"authorization": f"Bearer {key}"}, proxy=None) as socket:
        socket.close()
        assert closed(socket)[0] == 1000

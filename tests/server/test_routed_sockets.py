"""WebSockets through ordinary routes."""

import json
import threading
from collections.abc import Iterator, Sequence

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.sockets import WAIT, opened

CONFIG = """
[routing]
allow_nodes = ["127.0.0.0/8"]

[consumers.jack]
plugins = {{ key-auth = {{ key = "one" }} }}

[routes.open]
uri = "/talk/*"
enable_websocket = true
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}

[routes.keyed]
uri = "/keyed"
enable_websocket = true
plugins = {{ key-auth = {{}} }}
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}

[routes.modelled]
uri = "/modelled"
enable_websocket = true
plugins.ai-proxy = {{ provider = "openai", auth = {{ header = {{ Authorization = "Bearer sk" }} }} }}
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}

[routes.plain]
uri = "/plain"
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}
"""


def talk(socket: ServerConnection) -> None:
    """Tells what it was asked with, echoes, and leaves in its own way when told to."""
    assert socket.request is not None
    socket.send(json.dumps({"path": socket.request.path, "who": socket.request.headers.get("x-consumer-username")}))
    for message in socket:
        if message == "leave":
            socket.close(4321, "as told")
            return
        socket.send(message)


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    def chosen(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if offered else None

    with serve(talk, "127.0.0.1", 0, select_subprotocol=chosen, compression=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = CONFIG.format(port=server.socket.getsockname()[1])
        with running_gate(tmp_path_factory.mktemp("talking"), config) as running:
            yield running
        server.shutdown()


def test_messages_are_passed_on_both_ways(talking: GateProcess) -> None:
    with opened(talking, path="/talk/a?b=1", subprotocols=["chat.v1"]) as socket:
        assert json.loads(socket.recv(WAIT)) == {"path": "/talk/a?b=1", "who": None}
        assert socket.subprotocol == "chat.v1"
        for message in ("words", b"\x00\xff", "x" * 100_000):
            socket.send(message)
            assert socket.recv(WAIT) == message


def test_the_upstream_s_goodbye_reaches_the_client(talking: GateProcess) -> None:
    with opened(talking, path="/talk/a") as socket:
        socket.recv(WAIT)
        socket.send("leave")
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(WAIT)

    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4321, "as told")


def test_plugins_decide_who_may_open_one(talking: GateProcess) -> None:
    with opened(talking, path="/keyed", headers={"apikey": "one"}) as socket:
        assert json.loads(socket.recv(WAIT))["who"] == "jack"
    with pytest.raises(InvalidStatus) as refused, opened(talking, path="/keyed"):
        pass

    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"") == {"message": "Missing API key in request"}


def test_what_a_plugin_serves_in_place_of_the_upstream_opens_no_socket(talking: GateProcess) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(talking, path="/modelled"):
        pass

    assert refused.value.response.status_code == 400
    assert b"could not parse JSON" in (refused.value.response.body or b"")


def test_a_route_without_enable_websocket_lets_none_in(talking: GateProcess) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(talking, path="/plain"):
        pass

    assert refused.value.response.status_code == 404


def test_a_socket_that_is_refused_ends_with_its_answer(talking: GateProcess) -> None:
    head = f"GET /keyed HTTP/1.1\r\nhost: 127.0.0.1:{talking.port}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    for _ in range(5):
        with RawClient(talking.port, WAIT) as client:
            client.send(
                (head + "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode()
            )
            assert b" 401 " in client.read_until(b"Missing API key in request")
            client.send(b"\x89\x80\x00\x00\x00\x00")  # a ping: not to be answered any more
            assert b"\x8a" not in client.read_all()
    assert "write_eof" not in talking.log()

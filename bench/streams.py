"""A load of streams from a process of its own: keeps a number of them open and checks that every one is whole."""

import argparse
import asyncio
import json
from typing import cast

import httptools
import uvloop

from bench import calls


class Tally:
    """What the connections have seen so far."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.events = self.writes = self.streams = self.broken = 0
        self.going_on = True


class Client(asyncio.Protocol):
    """One connection: a stream, and when it has ended the next."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._tail = b""
        self._events = 0
        self._open = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance
        self._begin()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._tally.broken += 1
        if not self.ended.done():
            self.ended.set_result(None)

    def on_chunk_header(self) -> None:
        self._tally.writes += 1

    def on_body(self, body: bytes) -> None:
        found = body.count(b"\n\n")
        if self._tail.endswith(b"\n") and body.startswith(b"\n"):
            found += 1
        self._events += found
        self._tally.events += found
        self._tail = (self._tail + body)[-16:]

    def on_message_complete(self) -> None:
        self._open = False
        whole = self._tail.endswith(b"data: [DONE]\n\n") and self._events == self._tally.expected
        if self._parser.get_status_code() == 200 and whole:
            self._tally.streams += 1
        else:
            self._tally.broken += 1
        if self._tally.going_on:
            asyncio.get_running_loop().call_soon(self._begin)
        else:
            self._transport.close()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._events = 0
        self._tail = b""
        self._open = True
        self._transport.write(self._request)


def mark(name: str, tally: Tally) -> None:
    """Tells the measuring process where we are; it reads the CPU spent when it sees this."""
    found = {"events": tally.events, "writes": tally.writes, "streams": tally.streams, "broken": tally.broken}
    print(json.dumps({"mark": name, **found}), flush=True)


async def load(port: int, request: bytes, connections: int, ramp: float, seconds: float, expected: int) -> None:
    """Opens the connections over `ramp` seconds, then marks a window of `seconds`, then lets open streams end."""
    loop = asyncio.get_running_loop()
    tally = Tally(expected)
    clients = []
    started = loop.time()
    for number in range(connections):
        await asyncio.sleep(max(0.0, started + ramp * number / connections - loop.time()))
        clients.append((await loop.create_connection(lambda: Client(request, tally), "127.0.0.1", port))[1])
    await asyncio.sleep(0.5)
    mark("begin", tally)
    await asyncio.sleep(seconds)
    mark("end", tally)
    tally.going_on = False
    await asyncio.wait([client.ended for client in clients], timeout=30)
    tally.broken += sum(1 for client in clients if not client.ended.done())
    mark("closed", tally)


def main() -> None:
    """Reads what to do from the command line."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--key", required=True)
    options.add_argument("--model", required=True)
    options.add_argument("--path", required=True)
    options.add_argument("--events", type=int, required=True, help="of one whole stream")
    options.add_argument("--connections", type=int, required=True)
    options.add_argument("--ramp", type=float, required=True)
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--hidden-usage", action="store_true")
    given = options.parse_args()
    request = calls.request(given.port, given.key, calls.streamed(given.model, given.hidden_usage), given.path)
    uvloop.run(load(given.port, request, given.connections, given.ramp, given.seconds, given.events))


if __name__ == "__main__":
    main()

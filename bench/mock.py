"""A stand-in for a provider, at the least CPU: answers chat calls at once, or in events as fast as it can or paced."""

import asyncio
import json
import re
import signal
from typing import cast

import httptools
import uvloop

from bench import answers

PACES = {b"paced": 0.010, b"slow": 0.100}
"""Seconds between events, by the model asked for; any other model streams as fast as it can."""

_COMPLETION = answers.completion()
_REFUSAL = answers.refusal()
_STREAMS = {True: answers.stream(True), False: answers.stream(False)}
_STREAMED = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')


class Mock(asyncio.Protocol):
    """One connection of a client: one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._paused = False
        self._writes: list[bytes] = []
        self._at = 0
        self._pace = 0.0
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._at < len(self._writes) and not self._pace:
            self._next()

    def on_message_begin(self) -> None:
        self._body: list[bytes] = []
        self._path = b""

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._path != b"/v1/chat/completions":
            self._transport.write(_REFUSAL)
            return
        body = b"".join(self._body)
        if not _STREAMED.search(body):
            self._transport.write(_COMPLETION)
            return
        model = _MODEL.search(body)
        self._pace = PACES.get(model.group(1), 0.0) if model else 0.0
        self._writes = _STREAMS[_USAGE.search(body) is not None]
        self._at = 0
        self._started = self._loop.time()
        self._next()

    def _next(self) -> None:
        """Writes an event; each has a turn of the loop, so that each is a write of its own on the wire."""
        if self._paused and not self._pace:
            return
        self._transport.write(self._writes[self._at])
        self._at += 1
        if self._at == len(self._writes):
            self._timer = None
        elif self._pace:
            self._timer = self._loop.call_at(self._started + self._at * self._pace, self._next)
        else:
            self._timer = self._loop.call_soon(self._next)


async def serve() -> None:
    """Serves on a free port, which it prints, until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(Mock, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())

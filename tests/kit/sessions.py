"""A session without a transport: what it writes is kept, what it speaks to does as it is told."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tollkeeper.core.keys import Key
from tollkeeper.sockets.asking import Ask, Listener
from tollkeeper.sockets.lobby import Lobby
from tollkeeper.sockets.options import Format, SocketOptions
from tollkeeper.sockets.session import Session

KEY = Key(id="key_1", name="ada", shown="tk-0123456", digest=b"d", created_at=0)
Answers = Callable[[Ask, Listener], Awaitable[None]]


class Paper:
    """A sink that keeps what is written."""

    blocked: Awaitable[None] | None = None

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data.decode())

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.written]


class Topic:
    """Answers by a function."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def answer(self, ask: Ask, listener: Listener) -> Awaitable[None]:
        return self._answers(ask, listener)


async def echo(ask: Ask, listener: Listener) -> None:
    """Says what it was asked."""
    listener.start(ask.model)
    listener.text((ask.data or b"").decode())


class Talk:
    """A session over paper, at a clock that the test owns."""

    def __init__(self, format: Format = "json", options: SocketOptions | None = None, **topics: Answers) -> None:
        self.now = 0.0
        self.usable = True
        self.paper = Paper()
        self.closed: list[tuple[int, str]] = []
        self.errors: list[BaseException] = []
        ids = itertools.count(1)
        self.lobby = Lobby(
            options or SocketOptions(),
            {name: Topic(answers) for name, answers in {"sendmessage": echo, **topics}.items()},
            current=lambda key: key if self.usable else None,
            new_id=lambda: f"r{next(ids)}",
            monotonic=lambda: self.now,
            on_error=lambda _, error: self.errors.append(error),
        )
        self.session = Session(self.lobby, KEY, format, self.paper, lambda code, why: self.closed.append((code, why)))

    def say(self, action: str | None = "sendmessage", **members: Any) -> None:
        self.session.take(json.dumps({"action": action, **members}))

    async def settled(self) -> list[dict[str, Any]]:
        """Everything written, once nothing is under way."""
        await asyncio.wait_for(self.session.ended(), 30)
        return self.paper.frames

"""Many calls at once over kept connections, and how each was answered."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answered:
    """One call's end. Seconds are monotonic."""

    status: int
    headers: dict[str, str]
    body: bytes
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, data: bytes) -> Answered:
    began = time.monotonic()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\n"
    writer.write(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Answered(int(lines[0].split()[1]), headers, body, began, time.monotonic())


async def load(
    port: int,
    key: str,
    count: int,
    at_once: int,
    *,
    model: str = "m",
    pause: float = 0.0,
    seconds: float = 120.0,
    stop: Callable[[], bool] = lambda: False,
) -> list[Answered]:
    """`count` calls for `model`, `at_once` at a time, each followed by a `pause`; within `seconds` or not at all."""
    data = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]}).encode()
    left = iter(range(count))
    answers: list[Answered] = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _ in left:
                if stop():
                    return
                answers.append(await _ask(reader, writer, key, data))
                if pause:
                    await asyncio.sleep(pause)
        finally:
            writer.close()

    await asyncio.wait_for(asyncio.gather(*(caller() for _ in range(at_once))), seconds)
    return answers

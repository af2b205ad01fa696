"""500 mixed calls against an upstream that keeps its own count of what it did."""

import asyncio
import json
import random
import threading
from dataclasses import dataclass, field

from kit.scripted import SSE_HEAD, Connection, Request, Script, chat_answer, chat_events, json_answer, usage_of

KINDS = ("plain", "stream", "stream_asked", "refused", "failing", "abandoned", "cut", "embeddings")


@dataclass
class Count:
    """What the upstream did, by call: the tokens that it reported to the last byte, or None where it could not."""

    reported: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def counting_upstream(count: Count, secret: str) -> Script:
    """Answers by what the prompt says; puts the secret it was sent into whatever it can, as a careless provider might."""

    def script(request: Request, connection: Connection) -> bool | None:
        body = request.json()
        prompt = body.get("input") or body["messages"][0]["content"]
        kind, number = prompt.split()[:2]
        used = (10 + int(number) % 7, 1 + int(number) % 5)
        with count.lock:
            count.seen.add(number)
        if kind == "plain":
            with count.lock:
                count.reported[number] = used
            return json_answer(200, chat_answer("Hi", *used))(request, connection)
        if kind == "embeddings":
            with count.lock:
                count.reported[number] = (used[0], 0)
            answer = {
                "object": "list",
                "model": "m",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                "usage": {"prompt_tokens": used[0], "total_tokens": used[0]},
            }
            return json_answer(200, answer)(request, connection)
        if kind in ("refused", "failing"):
            error = {"message": f"no: {request.headers.get('authorization')}", "type": "x", "param": None, "code": None}
            return json_answer(429 if kind == "refused" else 500, {"error": error})(request, connection)
        asked = (body.get("stream_options") or {}).get("include_usage")
        events = chat_events(["w "] * used[1], usage_of(*used) if asked else None)
        connection.send(SSE_HEAD)
        if kind == "cut":
            connection.chunk(events[0])
            connection.reset()
            return None
        for event in events:
            if kind == "abandoned":
                threading.Event().wait(0.02)
            if not connection.chunk(event):
                return None
        connection.end()
        with count.lock:
            count.reported[number] = used
        return True

    return script


async def call(port: int, key: str, kind: str, number: int, model: str = "m") -> bool:
    """One call as a client of its kind makes it. False where the gate was not there to answer."""
    path = "/v1/embeddings" if kind == "embeddings" else "/v1/chat/completions"
    prompt = f"{kind} {number} please"
    body: dict[str, object] = {"model": model}
    body |= {"input": prompt} if kind == "embeddings" else {"messages": [{"role": "user", "content": prompt}]}
    if kind in ("stream", "stream_asked", "abandoned", "cut"):
        body["stream"] = True
    if kind == "stream_asked":
        body["stream_options"] = {"include_usage": True}
    data = json.dumps(body).encode()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        head = f"POST {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n"
        writer.write(head.encode() + b"connection: close\r\n\r\n" + data)
        if kind == "abandoned":
            await reader.readuntil(b"data: ")
            writer.transport.abort()
            return True
        answer = await reader.read(-1)
        return bool(answer)
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()


async def many(
    port: int, key: str, first: int, last: int, seed: int, at_once: int = 25, *, numbered: bool = False
) -> None:
    """Calls first..last-1, of kinds drawn by `seed`, `at_once` at a time; of models m0, m1, … where they are `numbered`."""
    draw = random.Random(seed)
    kinds = [draw.choice(KINDS) for _ in range(first, last)]
    turns = asyncio.Semaphore(at_once)

    async def one(kind: str, number: int) -> None:
        async with turns:
            model = f"m{number - first}" if numbered else "m"
            await asyncio.wait_for(call(port, key, kind, number, model), 30)

    await asyncio.gather(*(one(kind, first + index) for index, kind in enumerate(kinds)))

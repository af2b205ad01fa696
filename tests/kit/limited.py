"""A gate whose callers are limited: its config, how it is asked, and a provider that answers when it is let go."""

import json
import threading
from typing import Any

from kit.gate import GateProcess
from kit.scripted import SSE_HEAD, Connection, Request, chat_answer, chat_events, json_answer, usage_of

CONFIG = """
[retry]
retries = 0
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
timeouts = {{ connect = 2, first_byte = 30, idle = 30, total = 60 }}
[providers.nobody]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-x"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
[models.kept]
targets = ["up/m"]
cache = {{ ttl = 60 }}
price = {{ input = 1, output = 1 }}
[models.limited]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
[models.lost]
targets = ["nobody/m"]
price = {{ input = 1, output = 1 }}
[limits.teams]
pair = ["4 requests/hour burst 2"]
[limits.owners]
ada = ["4 requests/hour burst 1"]
[limits.models]
limited = ["4 requests/hour burst 1"]
"""
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
Answer = tuple[int, dict[str, str], bytes]


def ask(gate: GateProcess, key: str, model: str = "m", **fields: Any) -> Answer:
    """One chat."""
    return gate.call("POST", "/v1/chat/completions", key, {**ASK, "model": model, **fields})


def remaining(answer: Answer, kind: str) -> int:
    """What an answer says is left of requests or tokens."""
    return int(answer[1][f"x-ratelimit-remaining-{kind}"])


def code(answer: Answer) -> str:
    """The error's code."""
    found: str = json.loads(answer[2])["error"]["code"]
    return found


def metric(gate: GateProcess, name: str) -> float:
    """A metric's first number, by how its line begins."""
    text = gate.operator("GET", "/metrics")[2].decode()
    return float(next(line for line in text.splitlines() if line.startswith(name)).rpartition(" ")[2])


class Held:
    """Answers when it is let go; streams a word first where a stream is wanted."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Semaphore(0)

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        events = chat_events(["word "] * 3, usage_of(5, 3))
        if request.json().get("stream"):
            connection.send(SSE_HEAD)
            connection.chunk(events[0])
            self.began.release()
            self.go.wait(20)
            return connection.chunk(b"".join(events[1:])) and connection.end()
        self.began.release()
        self.go.wait(20)
        return json_answer(200, chat_answer())(request, connection)


class Asking(threading.Thread):
    """One call on a thread of its own."""

    def __init__(self, gate: GateProcess, key: str, **fields: Any) -> None:
        super().__init__(daemon=True)
        self.answer: Answer = (0, {}, b"")
        self._ask = (gate, key, fields)
        self.start()

    def run(self) -> None:
        gate, key, fields = self._ask
        self.answer = ask(gate, key, **fields)

"""A gate with a cache, calls to it, and a provider that answers when it is told to."""

import threading
from typing import Any

from kit.gate import GateProcess
from kit.scripted import Connection, Request, chat_answer, json_answer

CONFIG = """
[cache]
max_answer_bytes = 4000
max_bytes = 60_000
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
timeouts = {{ connect = 2, first_byte = 5, idle = 5, total = 20 }}
[models.kept]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 3600 }}
[models.brief]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 1.5 }}
[models.open]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 3600, shared = true }}
[models.plain]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
"""
COST = "0.000015"
"""USD of `chat_answer()`: 9 input tokens at 1 and 3 output tokens at 2 USD per million."""
Answer = tuple[int, dict[str, str], bytes]


def body(content: str, model: str = "kept", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def ask(gate: GateProcess, key: str, content: str, model: str = "kept", wish: str = "", **more: Any) -> Answer:
    headers = {"x_tollkeeper_cache": wish} if wish else {}
    return gate.call("POST", "/v1/chat/completions", key, body(content, model, **more), **headers)


def told(answer: Answer) -> str | None:
    """What the answer says about the cache."""
    return answer[1].get("x-tollkeeper-cache")


class Gated:
    """Answers when told to; `arrived` counts what came."""

    def __init__(self, answer: Any = None, status: int = 200) -> None:
        self.go = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.first: tuple[int, Any] | None = None
        self._answer = json_answer(status, answer or chat_answer())
        self._lock = threading.Lock()

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        with self._lock:
            first, self.first = self.first, None
        self.arrived.release()
        self.go.wait(30)
        return json_answer(*first)(request, connection) if first else self._answer(request, connection)

"""A model that runs a gate as it is told: each of its rounds is words or tool calls, made up from what it was shown."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kit.scripted import SSE_HEAD, Connection, Request, chat_events, event_stream, json_answer, usage_of

_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "scripted"}


@dataclass
class Shown:
    """What the model was asked with."""

    body: dict[str, Any]

    def results(self) -> list[str]:
        """What its tools said so far, oldest first."""
        return [message["content"] for message in self.body["messages"] if message["role"] == "tool"]

    def result(self) -> Any:
        """The last one, as JSON."""
        return json.loads(self.results()[-1])

    def system(self) -> str:
        """What it was told before everything."""
        return "".join(m["content"] for m in self.body["messages"] if m["role"] in ("system", "developer"))


Round = bytes | Callable[[Shown], bytes]


def says(*words: str, usage: dict[str, int] | None = None) -> bytes:
    """A round of words, the model's last."""
    return b"".join(chat_events(list(words), usage or usage_of(50, 5)))


def calls(*wanted: tuple[str, Any], usage: dict[str, int] | None = None) -> bytes:
    """A round of tool calls: names with arguments, which are sent as they are where they are text."""
    chunks: list[dict[str, Any]] = []
    for index, (name, arguments) in enumerate(wanted):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        begun = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append({"tool_calls": [begun]})
        for at in range(0, len(text), 40):
            chunks.append({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + 40]}}]})
    events = [{**_HEAD, "choices": [{"index": 0, "delta": chunk, "finish_reason": None}]} for chunk in chunks]
    events.append({**_HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    events.append({**_HEAD, "choices": [], "usage": usage or usage_of(100, 20)})
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def proposes(*steps: dict[str, Any], what: str = "as asked") -> bytes:
    """A round that proposes changes."""
    return calls(("propose_changes", {"what": what, "steps": list(steps)}))


def applies(shown: Shown) -> bytes:
    """A round that applies what was just proposed."""
    return calls(("apply_proposal", {"id": shown.result()["id"]}))


class ScriptedModel:
    """A script for `ScriptedUpstream`: round by round; when there is none left, it says that it is through."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.shown: list[Shown] = []
        self._stalling: bytes | None = None

    def plays(self, *rounds: Round) -> None:
        """From now on; what it was shown before is forgotten."""
        self.rounds = list(rounds)
        self.shown = []

    def stalls_after(self, round: bytes) -> None:
        """The next answer begins as this round does, and stays open until the other side leaves."""
        self.plays()
        self._stalling = round[: round.index(b'"finish_reason":"stop"')].rpartition(b"data: ")[0]

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        if request.method != "POST":
            return json_answer(200, {"object": "list", "data": [{"id": "scripted"}]})(request, connection)
        self.shown.append(Shown(request.json()))
        if self._stalling is not None:
            begun, self._stalling = self._stalling, None
            connection.send(SSE_HEAD)
            connection.chunk(begun)
            connection.wait_for_peer_to_close(60)
            return None
        play = self.rounds.pop(0) if self.rounds else says("I am ", "through.")
        return event_stream(play if isinstance(play, bytes) else play(self.shown[-1]))(request, connection)

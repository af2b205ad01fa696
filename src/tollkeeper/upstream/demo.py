"""The built-in demo model: an upstream without a network, deterministic, at a steady pace, with true usage.

It echoes what it was asked in a few words of its own, so that a first try shows words arriving and a usage row.
"""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.json_examples import example_of
from tollkeeper.core.ports import Headers

_PACE = 0.03
"""Seconds between two words."""
_CREATED = 1_700_000_000
_encode = msgspec.json.encode


class DemoUpstream:
    """Implements `core.ports.Outbound` for demo:// URLs: chat, completions and embeddings."""

    def __init__(self, monotonic: Callable[[], float], pace: float = _PACE) -> None:
        self._monotonic = monotonic
        self._pace = pace

    async def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> "DemoAnswer":
        path = url.partition("://")[2].strip("/")
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        status, kind, parts = self._respond(method, path, body)
        return DemoAnswer(status, kind, parts, self._monotonic, self._pace if len(parts) > 1 else 0.0)

    async def close(self) -> None:
        """Nothing is open."""

    def _respond(self, method: bytes, path: str, body: bytes) -> tuple[int, bytes, list[bytes]]:
        if method == b"GET" and path == "models":
            return 200, b"application/json", [_encode({"object": "list", "data": [_MODEL]})]
        handler = {"chat/completions": _chat, "completions": _completion, "embeddings": _embeddings}.get(path)
        if method != b"POST" or handler is None:
            words = f"The demo model has chat/completions, completions and embeddings, not {method.decode()} {path}."
            return 404, b"application/json", [_error(words, "not_found")]
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
            return handler(asked)
        except (msgspec.DecodeError, TypeError, ValueError, AttributeError, KeyError) as error:
            return 400, b"application/json", [_error(f"The demo model cannot read this request: {error}", None)]


_MODEL: dict[str, object] = {"id": "demo", "object": "model", "created": _CREATED, "owned_by": "tollkeeper"}


def _error(message: str, code: str | None) -> bytes:
    return _encode({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})


def _words(text: str) -> list[str]:
    """Pieces that join to `text`, one a word: the demo model's tokens."""
    pieces: list[str] = []
    for character in text:
        if pieces and (character != " " or pieces[-1].isspace()):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def _answer_to(question: str, most: int | None) -> tuple[list[str], str]:
    quoted = " ".join(question.split())[:200]
    said = f"You said: {quoted}. " if quoted else ""
    words = _words(f"{said}This is Tollkeeper's demo model speaking, one word at a time, and every word is counted.")
    if most is not None and most < len(words):
        return words[:most], "length"
    return words, "stop"


def _structured(wanted: dict[str, Any], question: str, most: int | None) -> tuple[list[str], str]:
    """JSON, as `response_format` asks for it (https://platform.openai.com/docs/guides/structured-outputs)."""
    said: Any = {"said": " ".join(question.split())[:200]}
    if wanted["type"] == "json_schema":
        said = example_of(wanted["json_schema"]["schema"])
    words = _words(_encode(said).decode())
    return (words[:most], "length") if most is not None and most < len(words) else (words, "stop")


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _chat(asked: dict[str, Any]) -> tuple[int, bytes, list[bytes]]:
    messages = asked["messages"]
    question = _text_of(messages[-1].get("content")) if messages else ""
    most = asked.get("max_completion_tokens") or asked.get("max_tokens")
    wanted = asked.get("response_format") or {"type": "text"}
    words, reason = _answer_to(question, most) if wanted["type"] == "text" else _structured(wanted, question, most)
    usage = _usage(sum(len(_words(_text_of(message.get("content")))) for message in messages), len(words))
    if not asked.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": "".join(words), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return 200, b"application/json", [_encode(_head("chat.completion") | {"choices": [choice], "usage": usage})]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in words]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": reason})
    return 200, b"text/event-stream", _events("chat.completion.chunk", choices, usage, asked)


def _completion(asked: dict[str, Any]) -> tuple[int, bytes, list[bytes]]:
    prompt = asked["prompt"]
    prompt = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    words, reason = _answer_to(prompt, asked.get("max_tokens"))
    usage = _usage(len(_words(prompt)), len(words))
    if not asked.get("stream"):
        choice = {"index": 0, "text": "".join(words), "logprobs": None, "finish_reason": reason}
        return 200, b"application/json", [_encode(_head("text_completion") | {"choices": [choice], "usage": usage})]
    choices: list[dict[str, Any]] = [{"index": 0, "text": word, "finish_reason": None} for word in words]
    choices.append({"index": 0, "text": "", "finish_reason": reason})
    return 200, b"text/event-stream", _events("text_completion", choices, usage, asked)


def _embeddings(asked: dict[str, Any]) -> tuple[int, bytes, list[bytes]]:
    given = asked["input"]
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    data = []
    for index, text in enumerate(inputs):
        letters = str(text).encode()
        vector = [sum(letters[place::8], start=1) % 997 / 997 for place in range(8)]
        packed = base64.b64encode(struct.pack("<8f", *vector)).decode()
        value: object = packed if asked.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = sum(len(_words(str(text))) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body: dict[str, Any] = {"object": "list", "data": data, "model": "demo", "usage": usage}
    return 200, b"application/json", [_encode(body)]


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-demo", "object": kind, "created": _CREATED, "model": "demo", "system_fingerprint": None}


def _events(kind: str, choices: list[dict[str, Any]], usage: dict[str, Any], asked: dict[str, Any]) -> list[bytes]:
    """As OpenAI streams: `usage` is there, null, only if it was asked for, and then in a last chunk of its own."""
    with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    head = _head(kind)
    chunks = [head | {"choices": [choice]} | ({"usage": None} if with_usage else {}) for choice in choices]
    if with_usage:
        chunks.append(head | {"choices": [], "usage": usage})
    return [b"data: " + _encode(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


class DemoAnswer:
    """Implements `core.ports.Sent` over prepared parts."""

    reused = False

    def __init__(
        self, status: int, kind: bytes, parts: list[bytes], monotonic: Callable[[], float], pace: float
    ) -> None:
        self.status = status
        self.headers: Headers = [(b"content-type", kind)]
        self.sent_at = self.first_byte_at = self.last_byte_at = monotonic()
        self._parts = parts
        self._next = 0
        self._monotonic = monotonic
        self._pace = pace
        self._closed = False
        self._until: float | None = None

    async def head(self) -> None:
        """There at once."""

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        if self._next == len(self._parts):
            return None
        if 1 < self._next < len(self._parts) - 1:
            await asyncio.sleep(self._pace)
        if self._closed or (self._until is not None and self._monotonic() > self._until):
            raise UpstreamError("demo: its answer broke off.", code="upstream_cut")
        part = self._parts[self._next]
        self._next += 1
        self.last_byte_at = self._monotonic()
        return part

    async def pour(self, push: Callable[[bytes], bool], quiet: float | None = None) -> bool:
        while (part := await self.next_chunk()) is not None:
            if not push(part):
                return False
        return True

    def arrived(self) -> bytes | None:
        return None

    async def read(self, limit: int) -> tuple[bytes, bool]:
        parts = []
        while (part := await self.next_chunk()) is not None:
            parts.append(part)
        return b"".join(parts), True

    def close(self) -> None:
        self._closed = True

    def limit_to(self, seconds: float) -> None:
        self._until = self._monotonic() + seconds

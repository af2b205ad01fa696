"""One gate between clients of every dialect and an upstream that plays providers of every dialect."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from kit.gate import GateProcess
from kit.scripted import Connection, Request, Script
from kit.translations import IDENTITY, SAYS, SITTING, decoded, encoded
from tollkeeper.core.answers import Answer, gathered
from tollkeeper.core.deltas import Delta

PROVIDERS = {
    "openai_chat": ("openai", "/v1"),
    "openai_responses": ("openai", "/v1"),
    "anthropic_messages": ("anthropic", "/v1"),
    "gemini_generate": ("gemini", "/v1beta/openai"),
    "ollama_chat": ("ollama", "/v1"),
}
"""Kinds that play a dialect, and where their base URLs end."""
CLIENTS = (*PROVIDERS, "ollama_generate")
_MODELS = {"anthropic_messages": "claude-sonnet-4-5"}
"""Whose name says what it can do."""
_MEDIA_TYPES = {"ollama_chat": "application/x-ndjson"}


def config(port: int) -> str:
    """A model for each dialect, named as the dialect."""
    text = ""
    for dialect, (kind, path) in PROVIDERS.items():
        text += f"""
[providers.{dialect}]
kind = "{kind}"
base_url = "http://127.0.0.1:{port}{path}"
api_key = "provider-key-0123456789"
speaks = ["{dialect}"]
leave = "drain"
timeouts = {{ connect = 10, first_byte = 20, idle = 20, total = 40 }}

[models.{dialect}]
targets = ["{dialect}/{_MODELS.get(dialect, "model-1")}"]
price = {{ input = 1, output = 2, cached_input = 0.5 }}
"""
    return text


class Asked(NamedTuple):
    """A client's request."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]


def ask(client: str, model: str, *, stream: bool, text: str = "Hello", **more: Any) -> Asked:
    """What a client of a dialect sends that says `text`, with `more` members."""
    said = {"role": "user", "content": text}
    if client == "gemini_generate":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}
        return Asked(f"/v1beta/models/{model}:{method}", body, {})
    if client == "ollama_generate":
        return Asked("/api/generate", {"model": model, "prompt": text, "stream": stream, **more}, {})
    if client == "ollama_chat":
        return Asked("/api/chat", {"model": model, "messages": [said], "stream": stream, **more}, {})
    if client == "anthropic_messages":
        body = {"model": model, "max_tokens": 100, "messages": [said], "stream": stream, **more}
        return Asked("/v1/messages", body, {"anthropic-version": "2023-06-01"})
    if client == "openai_responses":
        return Asked("/v1/responses", {"model": model, "input": text, "stream": stream, **more}, {})
    body = {"model": model, "messages": [said], "stream": stream, **more}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return Asked("/v1/chat/completions", body, {})


def send(gate: GateProcess, key: str, asked: Asked) -> tuple[int, dict[str, str], bytes]:
    """The gate's answer."""
    return gate.call("POST", asked.path, key, asked.body, **asked.headers)


def spoken(provider: str, deltas: Sequence[Delta], *, stream: bool) -> bytes:
    """What a provider of this dialect answers that says these pieces."""
    translator = SAYS[provider].translator
    return encoded(translator, deltas) if stream else translator.render_answer(gathered(deltas), IDENTITY)


def media_type(provider: str, *, stream: bool) -> str:
    """Of a provider's answers."""
    return _MEDIA_TYPES.get(provider, "text/event-stream") if stream else "application/json"


def plays(provider: str, body: bytes, *, stream: bool, status: int = 200) -> Script:
    """An upstream that answers with this body, of the dialect's media type."""
    kind = media_type(provider, stream=stream)

    def script(request: Request, connection: Connection) -> bool:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        return connection.send(head.encode() + body)

    return script


def understood(client: str, body: bytes, *, stream: bool) -> Answer:
    """What a client of this dialect makes of an answer."""
    translator = SAYS[client].translator
    if stream:
        return gathered(decoded(translator, body))
    return gathered(translator.read_answer(body, SITTING))


def parsed(body: bytes) -> Any:
    """JSON."""
    return json.loads(body)

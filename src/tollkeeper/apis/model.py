"""The model as a Python API has it: chat, stream, structured answers, embeddings, on behalf of whoever called the API."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tollkeeper.apis import completions, schemas, typed
from tollkeeper.apis.calls import Calls
from tollkeeper.apis.text import text_of
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.dialects import openai_chat, openai_endpoints

Prompt = str | list[dict[str, Any]]
"""A question, or a chat's messages as OpenAI has them."""
Kind = TypeVar("Kind")
_PENDING = 64
"""Pieces of a stream that may wait for a function that does not keep up."""
_INSIDE = "value"


class Said(Struct, frozen=True, kw_only=True):
    """A model's answer to a chat. `str()` is its text."""

    text: str
    finish_reason: str | None
    model: str | None
    """As the provider names it."""
    tool_calls: list[dict[str, Any]]
    """As OpenAI has them."""
    input_tokens: int
    output_tokens: int

    def __str__(self) -> str:
        return self.text


class _Embedding(Struct):
    embedding: list[float]


class _Embeddings(Struct):
    data: list[_Embedding]


class Model:
    """A parameter of this type is given to a published function. Every method raises TollkeeperError, and only that.

    Parameters beside those named are the provider's: temperature, max_tokens, tools, …
    """

    def __init__(self, calls: Calls, name: str | None, api: str) -> None:
        self._calls = calls
        self._name = name
        self._api = api

    async def chat(
        self, prompt: Prompt, *, model: str | None = None, system: str | None = None, **parameters: Any
    ) -> Said:
        """One answer, whole."""
        body = await self._calls.whole(*_CHAT, self._asked(prompt, model, system, parameters))
        found = completions.completion(body)
        choice, usage = found.choices[0], found.usage
        return Said(
            text=choice.message.content or choice.message.refusal or "",
            finish_reason=choice.finish_reason,
            model=found.model,
            tool_calls=choice.message.tool_calls or [],
            input_tokens=usage.prompt_tokens if usage is not None else 0,
            output_tokens=usage.completion_tokens if usage is not None else 0,
        )

    async def stream(
        self, prompt: Prompt, *, model: str | None = None, system: str | None = None, **parameters: Any
    ) -> AsyncIterator[str]:
        """Pieces of the answer's text as they come: `async for piece in model.stream(…)`."""
        channel = _Channel()
        asked = self._asked(prompt, model, system, parameters)
        pouring = asyncio.ensure_future(self._calls.stream(asked, channel))
        pouring.add_done_callback(channel.end)
        try:
            while (piece := await channel.next()) is not None:
                yield piece
            await pouring
        finally:
            channel.close()
            pouring.cancel()

    async def structured(
        self,
        prompt: Prompt,
        kind: type[Kind],
        *,
        model: str | None = None,
        system: str | None = None,
        **parameters: Any,
    ) -> Kind:
        """An answer as `kind`: a Struct, dataclass, TypedDict, pydantic model, list, … Its schema goes with the call."""
        schema = typed.for_a_model(kind)
        bare = "properties" not in schema
        if bare:  # a model answers with objects only
            definitions = schema.pop("$defs", None)
            schema = {
                "type": "object",
                "properties": {_INSIDE: schema},
                "required": [_INSIDE],
                "additionalProperties": False,
                **({"$defs": definitions} if definitions else {}),
            }
        name = "".join(c if c.isalnum() else "_" for c in getattr(kind, "__name__", "answer"))[:64]
        described = {"name": name, "schema": schema, "strict": schemas.strict(schema)}
        wanted = {"type": "json_schema", "json_schema": described}
        said = await self.chat(prompt, model=model, system=system, **{"response_format": wanted, **parameters})
        try:
            if bare:
                inside = msgspec.json.decode(said.text, type=dict[str, msgspec.Raw])[_INSIDE]
                return typed.decode(bytes(inside), kind)  # type: ignore[no-any-return]
            return typed.decode(said.text.encode(), kind)  # type: ignore[no-any-return]
        except (msgspec.DecodeError, KeyError, RecursionError) as error:
            reason = "it was cut short" if said.finish_reason == "length" else str(error)
            raise schemas.bad_output(self._api, reason) from None

    async def embed(self, texts: list[str] | str, *, model: str | None = None, **parameters: Any) -> list[list[float]]:
        """A vector for each text."""
        asked = {**parameters, "model": self._named(model), "input": texts, "encoding_format": "float"}
        body = await self._calls.whole(openai_endpoints.EMBEDDINGS, "embeddings", asked)
        try:
            found = msgspec.json.decode(body, type=_Embeddings)
        except (msgspec.DecodeError, RecursionError):
            raise UpstreamError("The model's answer has no embeddings.", code="upstream_bad_answer") from None
        return [each.embedding for each in found.data]

    def _asked(
        self, prompt: Prompt, model: str | None, system: str | None, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return {**parameters, "model": self._named(model), "messages": messages}

    def _named(self, model: str | None) -> str:
        name = model or self._name
        if name is None:
            raise CallerError(
                f"The API '{self._api}' names no model.", code="missing_required_parameter", param="model"
            )
        return name


_CHAT = (openai_chat.DIALECT, "chat/completions")


class _Channel:
    """Pieces on their way from a call to a function: a few may wait, then the provider does. Implements `Pieces`."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._begun: list[bytes] = []
        self._closed = False
        self._arrived = asyncio.Event()
        self._room: asyncio.Future[None] | None = None

    def take(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._begun.append(piece)
            try:
                text = text_of(self._begun)
            except msgspec.DecodeError:
                continue  # half a character: the other half is in the next piece
            self._begun.clear()
            self._waiting.append(text)
        self._arrived.set()

    @property
    def blocked(self) -> Awaitable[None] | None:
        if len(self._waiting) < _PENDING or self._closed:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def close(self) -> None:
        """Nobody waits any more: neither for pieces nor for room."""
        self._closed = True
        self._arrived.set()
        self._make_room()

    def end(self, pouring: "asyncio.Future[None]") -> None:
        """All has come."""
        self.close()
        if not pouring.cancelled():
            pouring.exception()  # seen: whoever reads to the end is told by `pouring` itself

    async def next(self) -> str | None:
        """The next piece; None when there is none any more."""
        while not self._waiting:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        piece = self._waiting.popleft()
        self._make_room()
        return piece

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

"""An action that speaks to a published API: the same one that answers over HTTP."""

from collections.abc import Awaitable
from typing import Any

import msgspec

from tollkeeper.apis.asked import Api, Asked
from tollkeeper.core.errors import CallerError
from tollkeeper.dialects.openai_chat.translator import TRANSLATOR
from tollkeeper.sockets.asking import Ask, Listener, call_of, question, told
from tollkeeper.wire import json_text

_OWN = ("model", "stream")
_encode = msgspec.json.encode


class Published:
    """A `Topic`. Data is the request's object; or a text, where the API is a chat or takes one text."""

    def __init__(self, api: Api) -> None:
        self._api = api
        described = api.description
        # What comes as words and is none in the end (JSON that follows a schema) is told when it is whole and was checked.
        self._streamed = _is_text(described.answer) or not _is_text(described.piece)

    async def answer(self, ask: Ask, listener: Listener) -> None:
        """Raises TollkeeperError."""
        body = self._body(ask)
        call = call_of(ask, "chat/completions")
        try:
            answered = await self._api.answer(Asked(call, body, json_text.members(body), self._streamed))
            if answered.status >= 400:
                listener.fail(TRANSLATOR.read_error(answered.status, answered.body))
                return
            listener.start(call.model)
            pieces = _Pieces(listener)
            if answered.pour is not None:
                await answered.pour(pieces)
            else:
                pieces.take([answered.body])
        finally:
            await told(call, listener)

    def _body(self, ask: Ask) -> bytes:
        text = question(ask)
        fields: dict[str, Any]
        if text is None:
            try:
                json_text.members(ask.data or b"")
            except json_text.BadJson as error:
                raise CallerError(f"Invalid 'data': {error}.", code="invalid_json", param="data") from None
            if ask.model is None:
                return ask.data or b""
            fields = msgspec.json.decode(ask.data or b"")
        else:
            properties: dict[str, Any] = self._api.description.request.get("properties", {})
            if "messages" in properties:
                fields = {"messages": [*ask.history, {"role": "user", "content": text}]}
            else:
                texts = [name for name, schema in properties.items() if name not in _OWN and _is_text(schema)]
                if len(texts) != 1:
                    raise CallerError(
                        "'data' must be an object: this API takes other than one text.",
                        code="invalid_type",
                        param="data",
                    )
                fields = {texts[0]: text}
        return _encode(fields if ask.model is None else {**fields, "model": ask.model})


def _is_text(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "string"


class _Pieces:
    """See `apis.asked.Pieces`: texts are the answer's words, anything else is a result."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def take(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if piece.startswith(b'"'):
                self._listener.text(msgspec.json.decode(piece, type=str))
            else:
                self._listener.result(piece)

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._listener.blocked

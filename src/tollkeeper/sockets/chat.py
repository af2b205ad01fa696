"""An action that speaks to a model: a message becomes a chat call, which goes the way of every call."""

from typing import Any

import msgspec

from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.core.ports import Handler
from tollkeeper.sockets.asking import Ask, Listener, call_of, question, told
from tollkeeper.wire import json_text

_encode = msgspec.json.encode


class Chat:
    """A `Topic`. Data is a text, a list of messages, or an object of chat fields with `messages` among them."""

    def __init__(self, handle: Handler, model: str | None) -> None:
        self._handle = handle
        self._model = model

    async def answer(self, ask: Ask, listener: Listener) -> None:
        call = self._call(ask)
        try:
            await listener.take(await self._handle(call), call.model)
        finally:
            await told(call, listener)

    def _call(self, ask: Ask) -> Call:
        fields = self._fields(ask)
        model = ask.model or fields.pop("model", None) or self._model
        if not isinstance(model, str) or not model:
            raise CallerError("You must provide a model parameter.", code="missing_required_parameter", param="model")
        if not model.isprintable():
            raise CallerError("The model's name has a control character in it.", code="invalid_value", param="model")
        call = call_of(ask, "chat/completions")
        call.model = model
        call.body = _encode({**fields, "model": model, "stream": True, "stream_options": {"include_usage": True}})
        call.members = json_text.members(call.body)
        return call

    @staticmethod
    def _fields(ask: Ask) -> dict[str, Any]:
        text = question(ask)
        if text is not None:
            return {"messages": [*ask.history, {"role": "user", "content": text}]}
        given = msgspec.json.decode(ask.data or b"null")
        if isinstance(given, list):
            given = {"messages": given}
        if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
            raise CallerError(
                "'data' must be a text, a list of messages, or an object with 'messages'.",
                code="invalid_type",
                param="data",
            )
        return given

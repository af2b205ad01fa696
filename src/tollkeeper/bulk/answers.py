"""What a provider's whole answer gives to its row: the text, the message with its tool calls, or the vector."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

Check = Callable[[Any], None]
"""Raises ValueError where a value does not follow the job's schema."""


_NULL = Raw(b"null")


class _Message(Struct):
    content: Raw = _NULL
    refusal: str | None = None
    tool_calls: Raw = _NULL
    function_call: Raw = _NULL


class _Choice(Struct):
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Item(Struct):
    embedding: Raw = Raw(b"null")


class _Answer(Struct):
    choices: list[_Choice] | None = None
    data: list[_Item] | None = None
    usage: Raw = Raw(b"null")


class _RawChoice(Struct):
    message: Raw = _NULL


class _RawAnswer(Struct):
    choices: list[_RawChoice] = []


Reading = Callable[[bytes, Check | None], "Output"]
"""(body of an answer, check) -> what the row gets of it. Raises BadAnswer."""


LONGEST_SAID = 100_000
"""Characters of a bad answer that are kept."""


class BadAnswer(ValueError):
    """An answer of status 200 that is not one, or does not follow the schema: another try may be better.

    `said` is what came in its place, as text: it was paid for.
    """

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said[:LONGEST_SAID]


class Output(Struct, frozen=True):
    """A row's answer, each part as JSON."""

    output: bytes
    finish_reason: str | None
    usage: bytes


_NONE = (b"null", b"[]")
_decode = msgspec.json.Decoder(_Answer).decode
_decode_raw = msgspec.json.Decoder(_RawAnswer).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


def output(body: bytes, check: Check | None = None) -> Output:
    """Of chat, completions and embeddings answers; any other JSON answer is its own output. Raises BadAnswer."""
    try:
        answer = _decode(body)
        usage = bytes(answer.usage)
        if answer.choices:
            if len(answer.choices) > 1:
                each = [_choice(body, place, choice, check) for place, choice in enumerate(answer.choices)]
                return Output(b"[" + b",".join(each) + b"]", None, usage)
            first = answer.choices[0]
            return Output(_choice(body, 0, first, check), first.finish_reason, usage)
        if answer.data and bytes(answer.data[0].embedding) != b"null":
            vectors = [bytes(item.embedding) for item in answer.data]
            return Output(vectors[0] if len(vectors) == 1 else b"[" + b",".join(vectors) + b"]", None, usage)
        if answer.choices is not None:
            raise BadAnswer("the answer has no choices", _as_text(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not one: {error}", _as_text(body)) from None
    return Output(body, None, usage)


def whole(body: bytes, check: Check | None = None) -> Output:
    """The answer itself, for those who want it as the provider gave it. Raises BadAnswer where it is no JSON object."""
    try:
        msgspec.json.decode(body, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not one: {error}", _as_text(body)) from None
    return Output(body.replace(b"\n", b" "), None, b"null")


def _choice(body: bytes, place: int, choice: _Choice, check: Check | None) -> bytes:
    if choice.text is not None:
        return _encode(choice.text)
    message = choice.message
    if message is None:
        raise BadAnswer("the answer has no message", _as_text(body))
    if message.refusal or bytes(message.tool_calls) not in _NONE or bytes(message.function_call) not in _NONE:
        return bytes(_decode_raw(body).choices[place].message)  # whole, with whatever else it has
    content = bytes(message.content)
    if check is None:
        return content
    text = _as_text(content)
    try:
        text = _text(content)
        value = msgspec.json.decode(text)
        check(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not the JSON that was asked for: {error}", text) from None
    except ValueError as error:
        raise BadAnswer(f"the answer does not follow the schema: {error}", text) from None
    return _encode(value)


def _as_text(body: bytes) -> str:
    return body[: 4 * LONGEST_SAID].decode("utf-8", "replace")

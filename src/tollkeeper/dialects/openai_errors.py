"""OpenAI's error envelope, in bodies and in streams."""

import msgspec

from tollkeeper.core.errors import TollkeeperError

_encode = msgspec.json.encode


def body(error: TollkeeperError) -> bytes:
    """`{"error":{"message","type","param","code"}}` (https://platform.openai.com/docs/guides/error-codes)."""
    return _encode({"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}})


def event(error: TollkeeperError) -> bytes:
    """The same envelope as a data-only event: what OpenAI's SDKs raise as APIError mid-stream."""
    return b"data: " + body(error) + b"\n\n"


def named_event(error: TollkeeperError) -> bytes:
    """The Responses API's `error` event (https://platform.openai.com/docs/api-reference/responses-streaming/error)."""
    data = {"type": "error", "code": error.code, "message": error.message, "param": error.param, "sequence_number": 0}
    return b"event: error\ndata: " + _encode(data) + b"\n\n"

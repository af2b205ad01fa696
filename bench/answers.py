"""What the mock provider answers with: a chat completion, or a chat stream of 68 events, as OpenAI writes them."""

import json
from typing import Any

EVENTS = 68
"""Events of a stream with usage, [DONE] included. A stream whose client did not ask for usage has one fewer."""
WORDS = EVENTS - 4
"""Those of them that carry text."""

_HEADERS = (
    b"x-request-id: req_5f1c2b7a9d3e4f60812233445566778\r\n"
    b"openai-organization: org-bench\r\n"
    b"openai-processing-ms: 212\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
)
_USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 64,
    "total_tokens": 85,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_SHARED = {
    "id": "chatcmpl-Bench0123456789abcdefghijklmn",
    "created": 1790000000,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_b376dfbbd5",
}
_WORDS = ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "then", "it", "rests", "."]


def completion() -> bytes:
    """A whole HTTP answer with one chat completion."""
    body = _compact(
        {
            "id": _SHARED["id"],
            "object": "chat.completion",
            "created": _SHARED["created"],
            "model": _SHARED["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Paris is the capital of France.",
                        "refusal": None,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _USAGE,
            "service_tier": _SHARED["service_tier"],
            "system_fingerprint": _SHARED["system_fingerprint"],
        }
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + _HEADERS
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def refusal() -> bytes:
    """A whole HTTP answer to a path that is not served."""
    body = b'{"error":{"message":"no such path","type":"invalid_request_error","param":null,"code":null}}'
    return b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def stream(usage: bool) -> list[bytes]:
    """A stream, one element a write: the first has the HTTP head before it, the last the end after it."""
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": "", "refusal": None}, None)]
    deltas += [({"content": " " + _WORDS[number % len(_WORDS)]}, None) for number in range(WORDS)]
    deltas.append(({}, "stop"))
    events = [_chunk([_choice(delta, finish)], None, usage) for delta, finish in deltas]
    if usage:
        events.append(_chunk([], _USAGE, usage))
    events.append(b"data: [DONE]\n\n")
    writes = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n" + _HEADERS
    writes[0] = head + b"transfer-encoding: chunked\r\n\r\n" + writes[0]
    writes[-1] += b"0\r\n\r\n"
    return writes


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None, with_usage: bool) -> bytes:
    chunk = {**_SHARED, "object": "chat.completion.chunk", "choices": choices}
    if with_usage:
        chunk["usage"] = usage
    return b"data: " + _compact(chunk) + b"\n\n"


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

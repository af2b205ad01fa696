"""The demo model does what it is asked for: JSON that fits a schema, cut where the limit is, streamed in the same words."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from tollkeeper.apis import schemas
from tollkeeper.core.account import Patience
from tollkeeper.upstream.demo import DemoUpstream

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WANTED = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}


def ask(**more: Any) -> tuple[int, bytes]:
    return asyncio.run(_sent(msgspec.json.encode({"messages": [{"role": "user", "content": "Who?"}], **more})))


async def _sent(body: bytes) -> tuple[int, bytes]:
    demo = DemoUpstream(time.monotonic, pace=0.0)
    answer = await demo.send(b"POST", "demo://chat/completions", [], body, Patience())
    return answer.status, (await answer.read(1 << 20))[0]


def test_json_fits_the_schema_that_is_asked_for() -> None:
    status, body = ask(response_format=WANTED)

    answer = msgspec.json.decode(body)
    assert status == 200
    schemas.check(SCHEMA)(msgspec.json.decode(answer["choices"][0]["message"]["content"]))
    assert answer["usage"]["completion_tokens"] > 0


def test_a_stream_of_it_has_the_same_words() -> None:
    _, body = ask(response_format=WANTED, stream=True)

    chunks = [msgspec.json.decode(line[6:]) for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    schemas.check(SCHEMA)(msgspec.json.decode(said))


@pytest.mark.parametrize("wanted", [{"type": "json_object"}, {"type": "text"}, None])
def test_without_a_schema_it_says_what_it_was_asked(wanted: Any) -> None:
    _, body = ask(response_format=wanted)

    content = msgspec.json.decode(body)["choices"][0]["message"]["content"]
    assert "Who?" in (msgspec.json.decode(content)["said"] if wanted == {"type": "json_object"} else content)


@pytest.mark.parametrize("wanted", [{"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": 7}}, {}])
def test_a_wish_that_is_none_is_refused(wanted: Any) -> None:
    status, body = ask(response_format=wanted or {"kind": 1})

    assert (status, b"cannot read this request" in body) == (400, True)

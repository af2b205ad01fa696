"""Published functions through the real door: requests become arguments, calls of the model are the caller's own."""

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import CONFIG
from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)

CODE = '''
"""What is published in these tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from tollkeeper.apis import ApiError, Model, TollkeeperError


class Person(msgspec.Struct):
    name: str
    age: int = 3


@dataclass
class Greeting:
    text: str
    tokens: int


class Pair(TypedDict):
    a: int
    b: list[str]


async def greet(person: Person, model: Model) -> Greeting:
    """Greets somebody."""
    if person.name == "nobody":
        raise ApiError("Nobody is not there.", status=404, code="nobody")
    said = await model.chat(f"Greet {person.name}", system="Be kind.", temperature=0.5)
    return Greeting(str(said), said.output_tokens)


async def pair(pair: Pair) -> Pair:
    return pair


async def told(topic: str, model: Model, words: int = 2) -> AsyncIterator[str]:
    yield "<"
    async for piece in model.stream(topic, max_tokens=words):
        yield piece
    yield ">"


async def twice(model: Model) -> str:
    first = await model.chat("one")
    second = await model.chat("two", model="alias")
    return first.text + second.text


async def person(text: str, model: Model) -> Person:
    return await model.structured(f"Who? {text}", Person)


async def numbers(model: Model) -> list[int]:
    return await model.structured("Count", list[int])


async def vectors(model: Model) -> list[list[float]]:
    return await model.embed(["x", "y"], model="gpt-4o-mini")


async def caught(model: Model) -> str:
    try:
        await model.chat("x", model="nowhere")
    except TollkeeperError as error:
        return f"{error.status} {error.code}"
    return "nothing"


def counted(n: int) -> Iterator[int]:
    yield from range(n)


def late(n: int) -> int:
    time.sleep(0.01)
    return n


def divided(by: int) -> int:
    return 1 // by


def mistyped() -> int:
    return "no"


async def unwritable():
    return object()


async def hanging(model: Model) -> str:
    await asyncio.sleep(1000)


def blocking() -> str:
    time.sleep(1000)


async def stuck() -> AsyncIterator[str]:
    yield "a"
    await asyncio.sleep(1000)


def broken() -> Iterator[str]:
    yield "a"
    raise KeyError("secret of ours")


async def exits() -> str:
    raise SystemExit("out")


async def interrupts() -> str:
    raise KeyboardInterrupt


async def closes() -> str:
    raise GeneratorExit


class Own(BaseException):
    """No Exception, as those of some libraries are none."""


async def raises_its_own() -> str:
    raise Own("odd")


async def closes_midway() -> AsyncIterator[str]:
    yield "a"
    raise GeneratorExit


async def misnumbered(status: int) -> str:
    raise ApiError("odd", status=status)


async def gives_up() -> str:
    task = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task
    return "done"


async def breaks_off() -> AsyncIterator[str]:
    yield "a"
    await gives_up()


def quits() -> str:
    raise SystemExit("out")


async def impatient() -> str:
    raise TimeoutError("its own")


async def slow_model(model: Model) -> str:
    return (await model.chat("slow")).text
'''
NAMES = re.findall(r"^(?:async )?def (\w+)", CODE, re.MULTILINE)
TIMED = ("hanging", "blocking", "stuck")


def tables() -> str:
    found = [f'[apis.{name}]\nfunction = "service:{name}"\nmodel = "gpt-4o-mini"\n' for name in NAMES]
    return "\n".join(text + "timeout = 1\n" * (name in TIMED) for name, text in zip(NAMES, found, strict=True))


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate that publishes the functions above, on top of the scripted upstream."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "service.py").write_text(CODE, "utf-8")
    with running_gate(folder, CONFIG.format(url=upstream.url) + tables()) as running:
        yield running


@pytest.fixture(autouse=True)
def says_hello(upstream: ScriptedUpstream) -> None:
    """Whoever needs another answer sets one."""
    upstream.script = json_answer(200, chat_answer("Hi"))


def told(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, Any]:
    """Status, and the answer or the error's code."""
    status, _, body = answer
    found = json.loads(body)
    return status, found["error"]["code"] if status >= 400 else found


def wait_until_drained(gate: GateProcess) -> None:
    """Returns once a call is read on for a client that has left."""
    until = time.monotonic() + 20
    while b"tollkeeper_draining 1.0" not in gate.operator("GET", "/metrics")[2] and time.monotonic() < until:
        time.sleep(0.02)


def values(body: bytes) -> list[Any]:
    datas = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def test_a_request_becomes_arguments_and_what_is_returned_the_answer(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    assert told(gate.call("POST", "/greet", key, {"name": "Ada"})) == (200, {"text": "Hi", "tokens": 3})
    assert upstream.requests[-1].json() == {
        "temperature": 0.5,
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet Ada"}],
    }
    assert told(gate.call("POST", "/pair", key, {"a": 1, "b": ["x"]})) == (200, {"a": 1, "b": ["x"]})
    assert told(gate.call("POST", "/late", key, {"n": 7})) == (200, 7)


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/greet", {}, "missing_required_parameter", "name"),
        ("/greet", {"name": 1}, "invalid_type", "name"),
        ("/greet", {"name": "x", "nmae": 1}, "unknown_parameter", "nmae"),
        ("/pair", {"a": 1}, "missing_required_parameter", "b"),
        ("/pair", {"a": 1, "b": [1]}, "invalid_type", "b[0]"),
        ("/told", {"topic": "x", "words": "two"}, "invalid_type", "words"),
        ("/told", {"topic": "x", "stream": 1}, "invalid_type", "stream"),
        ("/late", {"n": None}, "invalid_type", "n"),
        ("/late", {"n": 1, "model": "x"}, "unknown_parameter", "model"),
        ("/late", b"nonsense", "invalid_json", None),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_where(
    path: str, body: Any, code: str, param: str | None, gate: GateProcess, key: str
) -> None:
    status, _, answer = gate.call("POST", path, key, body)

    error = json.loads(answer)["error"]
    assert (status, error["code"], error["param"]) == (400, code, param)


def test_a_generator_streams_and_is_put_together_for_who_does_not_want_a_stream(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = event_stream(b"".join(chat_events(["Hel", "lo"], usage_of(9, 2))))

    _, _, streamed = gate.call("POST", "/told", key, {"topic": "cats", "stream": True})

    assert values(streamed) == ["<", "Hel", "lo", ">", "[DONE]"]
    assert told(gate.call("POST", "/told", key, {"topic": "cats"})) == (200, "<Hello>")
    assert values(gate.call("POST", "/counted", key, {"n": 3, "stream": True})[2]) == [0, 1, 2, "[DONE]"]
    assert told(gate.call("POST", "/counted", key, {"n": 3})) == (200, [0, 1, 2])
    assert values(gate.call("POST", "/counted", key, {"n": 0}, accept="text/event-stream")[2]) == ["[DONE]"]


def test_each_call_of_the_model_is_the_callers_and_found_with_the_request(gate: GateProcess, key: str) -> None:
    _, headers, answer = gate.call("POST", "/twice", key, {})

    assert json.loads(answer) == "HiHi"
    request_id = headers["x-request-id"]
    first, second = gate.event(f"{request_id}.1"), gate.event(f"{request_id}.2")
    assert (first["model_asked"], second["model_asked"]) == ("gpt-4o-mini", "alias")
    assert first["key_id"] == second["key_id"]
    assert {event["request_id"] for event in gate.events(request_id=request_id)} == {
        f"{request_id}.1",
        f"{request_id}.2",
    }
    status, _, body = gate.operator("GET", f"/api/explain/{request_id}.2")
    assert (status, json.loads(body)["asked"]["model"]) == (200, "alias")
    status, _, body = gate.operator("GET", f"/api/explain/{request_id}")
    assert (status, f"{request_id}.2" in json.loads(body)["error"]["message"]) == (404, True)


def test_a_budget_that_ends_in_the_middle_is_the_callers_error(gate: GateProcess) -> None:
    poor = gate.new_key(name="poor", limits=["1 requests/hour"])

    assert told(gate.call("POST", "/twice", poor, {})) == (429, "rate_limit_exceeded")


def test_a_key_that_may_not_use_a_model_may_not_through_a_function(gate: GateProcess) -> None:
    walled = gate.new_key(name="walled", models=["gpt-4o-mini"])

    assert told(gate.call("POST", "/greet", walled, {"name": "x"}))[0] == 200
    assert told(gate.call("POST", "/twice", walled, {})) == (404, "model_not_found")


def test_structured_answers_are_of_the_type_that_was_asked(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, chat_answer('{"name": "Ada", "age": 36}'))
    assert told(gate.call("POST", "/person", key, {"text": "x"})) == (200, {"name": "Ada", "age": 36})
    wanted = upstream.requests[-1].json()["response_format"]["json_schema"]
    assert (wanted["name"], wanted["schema"]["required"]) == ("Person", ["name"])
    upstream.script = json_answer(200, chat_answer('{"value": [1, 2]}'))
    assert told(gate.call("POST", "/numbers", key, {})) == (200, [1, 2])
    upstream.script = json_answer(200, chat_answer('{"value": ["x"]}'))
    assert told(gate.call("POST", "/numbers", key, {})) == (502, "model_bad_output")


def test_embeddings_are_vectors(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    data = [{"embedding": [0.5, 1]}, {"embedding": [2, 3]}]
    upstream.script = json_answer(200, {"data": data, "usage": {"prompt_tokens": 2, "total_tokens": 2}})

    assert told(gate.call("POST", "/vectors", key, {})) == (200, [[0.5, 1], [2, 3]])


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/greet", {"name": "nobody"}, 404, "nobody"),
        ("/caught", {}, 200, "404 model_not_found"),
        ("/divided", {"by": 0}, 500, "api_failed"),
        ("/mistyped", {}, 500, "api_failed"),
        ("/unwritable", {}, 500, "api_failed"),
        ("/impatient", {}, 500, "api_failed"),
        ("/quits", {}, 500, "api_failed"),
        ("/exits", {}, 500, "api_failed"),
        ("/interrupts", {}, 500, "api_failed"),
        ("/closes", {}, 500, "api_failed"),
        ("/raises_its_own", {}, 500, "api_failed"),
        ("/closes_midway", {}, 500, "api_failed"),
        *(("/misnumbered", {"status": status}, 500, "api_failed") for status in (0, 99, 200, 304, 600, 10**20)),
        ("/misnumbered", {"status": 599}, 599, None),
        ("/gives_up", {}, 500, "api_failed"),
        ("/broken", {}, 500, "api_failed"),
        ("/hanging", {}, 504, "api_timeout"),
        ("/blocking", {}, 504, "api_timeout"),
        ("/stuck", {}, 504, "api_timeout"),
    ],
)
def test_whatever_a_function_does_wrong_is_a_clear_error_and_one_line_in_the_log(
    path: str, body: Any, status: int, code: str, gate: GateProcess, key: str
) -> None:
    got, headers, answer = gate.call("POST", path, key, body)

    assert told((got, headers, answer)) == (status, code)
    assert b"Traceback" not in answer
    assert b"secret of ours" not in answer
    if status >= 400:
        lines = [line for line in gate.log().splitlines() if headers["x-request-id"] in line]
        until = time.monotonic() + 30
        while not lines and time.monotonic() < until:
            lines = [line for line in gate.log().splitlines() if headers["x-request-id"] in line]
        assert [(json.loads(line)["event"], json.loads(line)["code"]) for line in lines] == [("api_error", code)]


@pytest.mark.parametrize(
    ("path", "code"), [("/broken", b"api_failed"), ("/breaks_off", b"api_failed"), ("/stuck", b"api_timeout")]
)
def test_a_stream_that_breaks_off_ends_with_an_error_event_and_never_cleanly(
    path: str, code: bytes, gate: GateProcess, key: str
) -> None:
    with RawClient(gate.port) as client:
        client.post(path, key, {"stream": True})
        received = client.read_all()

    assert b'data: "a"\n\n' in received
    assert code in received
    assert b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")


def test_a_provider_that_cuts_its_stream_is_a_bad_end_too(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    def cut(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one"], None)[0])
        connection.reset()

    upstream.script = cut
    with RawClient(gate.port) as client:
        client.post("/told", key, {"topic": "x", "stream": True})
        received = client.read_all()

    assert b'data: "one"' in received
    assert b"upstream_cut" in received
    assert b'">"' not in received


def test_a_stream_whose_function_raises_what_is_no_exception_ends_with_an_error(gate: GateProcess, key: str) -> None:
    with RawClient(gate.port) as client:
        client.post("/closes_midway", key, {"stream": True})
        received = client.read_all()

    assert b'data: "a"' in received
    assert b"api_failed" in received
    assert b"[DONE]" not in received


def test_a_client_that_leaves_cuts_the_function_and_its_call_is_charged_once(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    first, *rest = chat_events(["one", "two"], usage_of(5, 2))
    left = threading.Event()

    def script(request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        left.wait(20)
        return connection.chunk(b"".join(rest)) and connection.end()

    upstream.script = script
    with RawClient(gate.port) as client:
        client.post("/told", key, {"topic": "x", "stream": True})
        received = client.read_until(b'"one"')
    wait_until_drained(gate)
    left.set()
    request_id = received.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()

    event = gate.event(f"{request_id}.1")
    assert (event["outcome"], event["output_tokens"], event["quality"]) == ("client_left", 2, "reported")


def test_a_client_that_leaves_before_a_whole_answer_is_charged_once(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    came, left = threading.Event(), threading.Event()

    def script(request: Request, connection: Connection) -> bool | None:
        came.set()
        left.wait(20)
        return json_answer(200, chat_answer("late", 4, 1))(request, connection)

    upstream.script = script
    key = gate.new_key(name="leaves-early")
    id = json.loads(gate.operator("GET", "/api/keys/leaves-early")[2])["id"]
    with RawClient(gate.port) as client:
        client.post("/slow_model", key, {})
        assert came.wait(20)
    wait_until_drained(gate)
    left.set()
    until = time.monotonic() + 20
    while not (new := gate.events(key=id)) and time.monotonic() < until:
        time.sleep(0.05)

    assert [(e["outcome"], e["output_tokens"], e["quality"]) for e in new] == [("client_left", 1, "reported")]


def test_a_dry_run_of_a_function_is_refused(gate: GateProcess, key: str) -> None:
    assert told(gate.call("POST", "/late", key, {"n": 1}, x_tollkeeper_dry_run="1")) == (400, "invalid_value")

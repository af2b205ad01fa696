"""Secrets stay where they belong: a guesser learns nothing, a thief of the home little, and no sink ever shows a key."""

import hmac
import json
import os
import random
import re
import string
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.raw import RawClient, body_of
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_answer, chat_events, json_answer
from kit.vitals import becomes
from tollkeeper.core.keyed_hash import KeyedHash
from tollkeeper.stores.sqlite.keys import KeyRing, KeyStore

PROVIDER_KEY = "sk-proj-canary-of-the-provider-0123456789abcdef"
PROMPT, ANSWER = "canary-of-a-prompt-that-is-nobodys-business", "canary-of-an-answer-that-is-nobodys-business"
CONFIG = """
[providers.hidden]
kind = "openai"
base_url = "{url}"
api_key = "env:CANARY_KEY"
timeouts = {{ connect = 1, first_byte = 2, idle = 1, total = 5 }}
[providers.down]
kind = "openai"
base_url = "http://127.0.0.1:1/internal-path"
api_key = "env:CANARY_KEY"
timeouts = {{ connect = 1 }}
[retry]
base = 0.001
cap = 0.01
[health]
failures = 100000
cool = 0.001
key_rest = 0.001
[models.m]
targets = ["hidden/m"]
price = {{ input = 1, output = 1 }}
[models.other]
targets = ["down/m"]
"""


class Careless:
    """Fails in every way there is, and repeats what it was sent wherever it can be put."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, request: Request, connection: Connection) -> bool:
        draw = self._random
        said = draw.choice([request.headers.get("authorization", ""), PROVIDER_KEY, f"?key={PROVIDER_KEY}&x=1"])
        error = {"error": {"message": f"no: {said}", "type": said, "param": said, "code": said, "inner": {said: said}}}
        header = draw.choice(["x-echo", "x-request-id", "warning", "openai-processing-ms", "retry-after"])
        way = draw.randrange(9)
        if way == 0:
            status = draw.choice([400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 529])
            return bool(json_answer(status, error, f"{header}: {said}")(request, connection))
        if way == 1:
            answer = {**chat_answer(said), "model": said, "id": said, "service_tier": said, "system_fingerprint": said}
            answer["usage"] = {**answer["usage"], said: said, "prompt_tokens_details": {said: 1}}
            return bool(json_answer(200, answer, f"{header}: {said}")(request, connection))
        if way == 2:
            return bool(json_answer(200, f"<html>{said}".encode(), f"{header}: {said}")(request, connection))
        if way == 3:
            connection.send(f"HTTP/1.1 500 {said}\r\n{header}: {said}\r\nbad {said}\r\n\r\n".encode())
            return False
        if way == 4:
            connection.send(
                f"HTTP/1.1 302 Found\r\nlocation: http://x/?key={said}\r\ncontent-length: 0\r\n\r\n".encode()
            )
            return True
        events = chat_events(["one ", said], None)
        if way == 5:
            events = [event.replace(b'"gpt-4o-mini"', json.dumps(said).encode()) for event in events]
        if way == 6:
            events[1:] = [b"data: " + json.dumps(error).encode() + b"\n\n"]
        if way == 7:
            events = [b"data: " + json.dumps(error).encode() + b"\n\n"]
        connection.send(SSE_HEAD)
        for event in events[: 1 if way == 8 else None]:
            connection.chunk(event)
        if way == 8:
            connection.chunk(f"data: {said}".encode())
            connection.reset()
            return False
        return connection.end()


@pytest.fixture(scope="module")
def careless() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(Careless(48)) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(careless: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = CONFIG.format(url=careless.url)
    with running_gate(tmp_path_factory.mktemp("gate"), config, {"CANARY_KEY": PROVIDER_KEY}) as running:
        yield running


def _sinks(gate: GateProcess) -> str:
    """All that the gate has written and shows, but for the files that are there to hold a secret."""
    kept = [path.read_bytes() for path in gate.home.iterdir() if path.name not in ("operator.key", "pepper")]
    shown = [
        gate.operator("GET", path)[2] for path in ("/metrics", "/api/events?limit=1000", "/api/usage", "/api/keys")
    ]
    called = {event["request_id"] for event in gate.events()}
    shown += [gate.operator("GET", f"/api/explain/{each}")[2] for each in sorted(called)[:100]]
    return b"".join(kept + shown).decode("utf-8", "replace") + gate.log()


@pytest.mark.row(45)
def test_a_guesser_gets_one_answer_whatever_is_wrong_with_the_key(gate: GateProcess) -> None:
    revoked, expiring, gone = gate.new_key(name="revoked"), gate.new_key(name="soon"), gate.new_key(name="rotated")
    assert gate.operator("DELETE", "/api/keys/revoked")[0] == 200
    assert gate.operator("DELETE", "/api/keys/soon")[0] == 200
    assert gate.operator("POST", "/api/keys/rotated/rotate")[0] == 200
    guesses = [
        "",
        "tk-",
        "x",
        revoked,
        expiring,
        gone,
        gone[:-1],
        gone + "a",
        gate.operator_key,
        PROVIDER_KEY,
        "tk-" + "é" * 9,
    ]
    ask = {"model": "m", "messages": []}

    def answer(guess: str) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = request(
            "POST",
            f"{gate.url}/v1/chat/completions",
            {"authorization": f"Bearer {guess}".encode().decode("latin-1")},
            ask,
        )
        return status, {name: value for name, value in headers.items() if name not in ("date", "x-request-id")}, body

    answers = [answer(guess) for guess in guesses]

    assert answers[0][0] == 401
    assert all(one == answers[0] for one in answers)


@pytest.mark.row(45)
def test_every_guess_is_hashed_and_compared_in_constant_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = KeyStore(home, time.time, os.urandom)
    _, good = store.create("good")
    revoked, ended = store.create("ended")
    store.revoke(revoked.id)
    ring = KeyRing(store, time.time)
    steps: list[str] = []
    digest, compare = KeyedHash.__call__, hmac.compare_digest
    monkeypatch.setattr(KeyedHash, "__call__", lambda *given: steps.append("hash") or digest(*given))
    monkeypatch.setattr(hmac, "compare_digest", lambda *given: steps.append("compare") or compare(*given))

    ways = []
    for secret in (good, ended, "tk-unknown", "", "x" * 5000):
        steps.clear()
        ring.find(secret.encode())
        ways.append(tuple(steps))

    assert set(ways) == {("hash", "compare")}
    store.close()


@pytest.mark.row(46)
def test_the_home_holds_no_key_that_opens_anything_but_in_the_files_made_for_it(gate: GateProcess) -> None:
    secret = gate.new_key(name="dumped")
    gate.call("POST", "/v1/chat/completions", secret, {"model": "m", "messages": []})
    gate.events_once(1)

    files = {path.name: path for path in gate.home.iterdir()}
    for name, path in files.items():
        content = path.read_bytes()
        assert secret.encode() not in content, name
        assert PROVIDER_KEY.encode() not in content, name
        assert (gate.operator_key.encode() in content) == (name == "operator.key")
        assert path.stat().st_mode & 0o077 == 0, name
    assert gate.home.stat().st_mode & 0o077 == 0


@pytest.mark.row(47)
@pytest.mark.parametrize("framing", ["content-length: {length}", "transfer-encoding: chunked"])
def test_a_key_that_a_provider_sends_in_two_pieces_is_taken_out_like_any_other(
    gate: GateProcess, careless: ScriptedUpstream, framing: str
) -> None:
    said = f"a {PROVIDER_KEY} of {PROVIDER_KEY[:20]}".encode()
    passed = threading.Event()

    def in_pieces(request: Request, connection: Connection) -> bool:
        send = connection.chunk if "chunked" in framing else connection.send
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{framing}\r\n\r\n"
        connection.send(head.format(length=len(said)).encode())
        send(said[:20])
        passed.wait(20)
        send(said[20:])
        return "chunked" not in framing or connection.end()

    script, careless.script = careless.script, in_pieces
    try:
        with RawClient(gate.port) as client:
            key = gate.new_key()
            client.send(f"GET /v1/files/f/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode())
            client.send(b"connection: close\r\n\r\n")
            client.read_until(b"\r\n\r\n")
            client.read_until(b"a ")
            passed.set()
            answer = client.read_all()
    finally:
        careless.script = script
    body = body_of(answer)[0] if "chunked" in framing else answer.partition(b"\r\n\r\n")[2]
    assert body == said.replace(PROVIDER_KEY.encode(), b"*" * len(PROVIDER_KEY))


@pytest.mark.row(47)
@pytest.mark.row(48)
def test_five_hundred_odd_and_failing_calls_show_no_key_in_any_sink(
    gate: GateProcess, careless: ScriptedUpstream
) -> None:
    secret = gate.new_key(name="canary")
    draw = random.Random(47)
    answers: list[bytes] = []
    paths = [
        "chat/completions",
        "chat/completions",
        "completions",
        "embeddings",
        "responses",
        "files",
        "moderations",
        "any/thing",
    ]
    for _ in range(500):
        body = {
            "model": draw.choice(["m", "m", "m", "other", "hidden/x", "".join(draw.choices(string.printable, k=8)), 5]),
            "stream": draw.choice([True, False, "yes"] if draw.random() < 0.2 else [True, False]),
            "messages": [{"role": "user", "content": PROMPT}],
            "input": PROMPT,
            "prompt": PROMPT,
            "user": draw.choice(["ada", secret]),
        }
        data = json.dumps(body).encode()
        if draw.random() < 0.1:
            data = data[: draw.randrange(len(data))]
        query = draw.choice(["", "", f"?key={secret}", f"?api_key={secret}"])
        with RawClient(gate.port) as client:
            client.post(
                f"/v1/{draw.choice(paths)}{query}", secret, data, "connection: close", f"x-goog-api-key: {secret}"
            )
            if draw.random() < 0.05:
                client.reset()
                continue
            answers.append(client.read_all())
    assert len(careless.requests) > 100
    assert becomes(lambda: len(gate.events()) > 300)

    begin = PROVIDER_KEY[:20].encode()
    assert [answer for answer in answers if begin in answer] == []
    sinks = _sinks(gate)
    assert secret not in sinks
    assert PROVIDER_KEY[:20] not in sinks
    assert gate.operator_key not in sinks
    assert PROMPT not in sinks
    assert all(secret not in str(sent.headers) + sent.path for sent in careless.requests)
    assert gate.call("POST", "/v1/chat/completions", secret, {"model": "m", "messages": []})[0] in range(200, 600)
    assert "internal_error" not in sinks


@pytest.mark.row(49)
def test_neither_prompts_nor_answers_are_written_down(tmp_path: Path) -> None:
    def script(asked: Request, connection: Connection) -> bool:
        return bool(json_answer(200, chat_answer(ANSWER))(asked, connection))

    environment = {"CANARY_KEY": PROVIDER_KEY}
    with (
        ScriptedUpstream(script) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url), environment) as gate,
    ):
        ask = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "metadata": {"note": PROMPT}}
        assert ANSWER in gate.call("POST", "/v1/chat/completions", gate.new_key(), ask)[2].decode()
        gate.events_once(1)
        assert gate.stop() == 0

        written = b"".join(path.read_bytes() for path in gate.home.iterdir()).decode("utf-8", "replace") + gate.log()
    assert PROMPT not in written
    assert ANSWER not in written


@pytest.mark.row(50)
def test_the_list_of_models_and_every_error_tell_nothing_of_where_providers_are_or_of_other_callers(
    gate: GateProcess, careless: ScriptedUpstream
) -> None:
    gate.new_key(name="rival", owner="rival-owner", team="rival-team", models=["m"])
    key = gate.new_key(name="mine", models=["other"])
    said = []
    for method, path, body in [
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/m", None),
        ("POST", "/v1/chat/completions", {"model": "other", "messages": []}),
        ("POST", "/v1/chat/completions", {"model": "m", "messages": []}),
        ("POST", "/v1/chat/completions", {"model": "no such", "messages": []}),
        ("POST", "/v1/files", {"model": "other"}),
        ("GET", "/v1/../../api/keys", None),
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/api/keys", None),
        ("GET", "/metrics", None),
    ]:
        status, headers, answer = gate.call(method, path, key, body)
        said.append((status, str(headers), answer.decode()))
    listed = json.loads(said[0][2])["data"]

    assert [model["id"] for model in listed] == ["other"]
    assert said[3][2].replace("`m`", "") == said[4][2].replace("`no such`", "")
    everything = str(said)
    for hidden in ("127.0.0.1", "internal-path", str(careless.port), PROVIDER_KEY[:20], "rival", gate.operator_key):
        assert hidden not in everything
    assert not re.search(r"key_[0-9a-f]", everything)


@pytest.mark.row(47)
def test_a_providers_key_that_is_a_mere_word_is_not_cut_out_of_answers(tmp_path: Path) -> None:
    """Local servers are often given one: `ollama`, `none`."""
    said = "Run ollama, or none at all."
    with (
        ScriptedUpstream(json_answer(200, chat_answer(said))) as upstream,
        running_gate(
            tmp_path, f'[providers.local]\nkind = "openai"\nbase_url = "{upstream.url}"\napi_key = "ollama"\n'
        ) as gate,
    ):
        _, _, answer = gate.call("POST", "/v1/chat/completions", gate.new_key(), {"model": "m", "messages": []})

    assert json.loads(answer) == chat_answer(said)

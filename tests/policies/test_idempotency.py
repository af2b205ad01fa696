"""Idempotency-Key through the real door: a retry gets the same answer and is charged once; what failed is tried again."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient, body_of
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
from kit.vitals import becomes, under_way

CONFIG = """
[idempotency]
ttl = {ttl}
max_answer_bytes = 20_000
max_answers = 30
[cache]
max_answer_bytes = 2_000
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
leave = "{leave}"
timeouts = {{ connect = 2, first_byte = 5, idle = 2, total = 20 }}
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
[models.kept]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 3600 }}
"""
COST = "0.000015"
"""USD of `chat_answer()`."""
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = CONFIG.format(url=upstream.url, leave="drain", ttl=86_400)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
        yield running


@pytest.fixture(autouse=True)
def answering(upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())
    upstream.requests.clear()


def body(content: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def ask(gate: GateProcess, key: str, name: str, content: str = "hello", **more: Any) -> Answer:
    return gate.call("POST", "/v1/chat/completions", key, body(content, **more), idempotency_key=name)


def replayed(answer: Answer) -> bool:
    return answer[1].get("idempotent-replayed") == "true"


def code(answer: Answer) -> str | None:
    found: str | None = json.loads(answer[2])["error"]["code"]
    return found


def header(raw: bytes, name: bytes) -> str:
    """One header of a raw answer."""
    head = raw.partition(b"\r\n\r\n")[0].lower()
    return head.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0].decode()


def notes(gate: GateProcess, answer: Answer) -> list[list[Any]]:
    """What its record says of the header."""
    trace = gate.event(answer[1]["x-request-id"])["trace"]
    return [note for note in trace if note[0] == "idempotency"]


def spent(gate: GateProcess, owner: str, requests: int) -> tuple[str, int]:
    """USD and attempts at providers of one owner, once there are so many requests."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        rows = {row["owner"]: row for row in gate.command("usage", "--by", "owner")}
        if owner in rows and rows[owner]["requests"] >= requests:
            break
        time.sleep(0.05)
    row = rows[owner]
    return row["cost_usd"], row["attempts"] - row["cached_requests"]


def test_a_retry_gets_the_same_answer_and_is_charged_once(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(owner="once")

    first, second = ask(gate, key, "n-1"), ask(gate, key, "n-1")
    upstream.script = json_answer(200, chat_answer("Another."))
    third = ask(gate, key, "n-1")

    assert [replayed(answer) for answer in (first, second, third)] == [False, True, True]
    assert first[2] == second[2] == third[2]
    assert first[1]["content-type"] == second[1]["content-type"]
    assert (second[0], second[1]["x-tollkeeper-cost"]) == (200, "0")
    assert len(upstream.requests) == 1
    assert spent(gate, "once", 3) == (COST, 1)
    event = gate.event(second[1]["x-request-id"])
    assert (event["outcome"], event["cost_usd"], event["saved_usd"]) == ("cached", "0", COST)
    [first_note], [second_note] = notes(gate, first), notes(gate, second)
    assert first_note[:2] == ["idempotency", "first"]
    assert second_note == ["idempotency", "replayed", first_note[2]]


def test_without_the_header_or_with_another_key_nothing_is_remembered(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key, other = gate.new_key(owner="same"), gate.new_key(owner="same")
    ask(gate, key, "n-1")

    assert not replayed(ask(gate, other, "n-1"))
    assert not replayed(ask(gate, key, "n-2"))
    assert not replayed(gate.call("POST", "/v1/chat/completions", key, body()))
    assert len(upstream.requests) == 4


def test_the_header_stays_here_as_callers_share_the_provider_s_account(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    ask(gate, gate.new_key(), "n-1")

    assert "idempotency-key" not in upstream.requests[-1].headers


def test_the_same_key_for_another_request_is_refused(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    ask(gate, key, "n-1")

    for answer in (
        ask(gate, key, "n-1", "other"),
        ask(gate, key, "n-1", user="ada"),
        gate.call("POST", "/v1/completions", key, body(), idempotency_key="n-1"),
        gate.call("POST", "/v1/chat/completions?x=1", key, body(), idempotency_key="n-1"),
    ):
        assert (answer[0], code(answer)) == (422, "idempotency_key_reused")
        assert answer[1]["x-should-retry"] == "false"
    assert replayed(ask(gate, key, "n-1"))
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_that_is_none_or_too_long_is_refused(gate: GateProcess, upstream: ScriptedUpstream, name: str) -> None:
    answer = ask(gate, gate.new_key(), name)

    assert (answer[0], code(answer)) == (400, "invalid_value")
    assert upstream.requests == []


def test_other_methods_pay_no_heed_to_it(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()

    for _ in range(2):
        assert not replayed(gate.call("GET", "/v1/files", key, idempotency_key="n-1"))
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_that_can_be_tried_again_is_tried_again(
    gate: GateProcess, upstream: ScriptedUpstream, status: int
) -> None:
    key = gate.new_key()
    upstream.script = json_answer(status, {"error": {"message": "not now"}})
    first = ask(gate, key, "n-1")
    upstream.script = json_answer(200, chat_answer())

    second = ask(gate, key, "n-1")

    assert first[0] >= 400
    assert (second[0], replayed(second)) == (200, False)
    assert replayed(ask(gate, key, "n-1"))


def test_a_refusal_of_the_gate_s_own_is_not_remembered(gate: GateProcess) -> None:
    key = gate.new_key()
    assert ask(gate, key, "n-1", model="no/such")[0] in (400, 404)

    assert ask(gate, key, "n-1")[0] == 200


def test_a_refusal_of_the_provider_s_is_the_answer(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    upstream.script = json_answer(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
    first = ask(gate, key, "n-1")
    upstream.script = json_answer(200, chat_answer())

    second = ask(gate, key, "n-1")

    assert (first[0], second[0], replayed(second)) == (400, 400, True)
    assert second[2] == first[2]


class Gated:
    """Answers when told to."""

    def __init__(self, failures: int = 0) -> None:
        self.go = threading.Event()
        self.arrived = threading.Semaphore(0)
        self._failures = failures
        self._lock = threading.Lock()

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        self.arrived.release()
        self.go.wait(30)
        with self._lock:
            fails, self._failures = self._failures > 0, self._failures - 1
        answer = json_answer(503, {"error": {"message": "busy"}}) if fails else json_answer(200, chat_answer())
        return answer(request, connection)


@pytest.mark.parametrize("failures", [0, 1])
def test_retries_at_one_time_wait_for_the_first_and_are_charged_once(
    gate: GateProcess, upstream: ScriptedUpstream, failures: int
) -> None:
    upstream.script = gated = Gated(failures)
    key = gate.new_key(owner=f"crowd {failures}")

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, gate, key, "n-1") for _ in range(20)]
        gated.arrived.acquire(timeout=30)
        assert becomes(lambda: under_way(gate.port) >= 20)
        time.sleep(0.2)
        gated.go.set()
        answers = [each.result() for each in asked]

    assert len(upstream.requests) == 1 + failures
    good = [answer for answer in answers if answer[0] == 200]
    assert len(good) == 20 - failures
    assert [replayed(answer) for answer in good].count(False) == 1
    assert len({answer[2] for answer in good}) == 1
    assert spent(gate, f"crowd {failures}", 20) == (COST, 1 + failures)


def test_another_request_is_refused_while_the_first_is_under_way(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = gated = Gated()
    key = gate.new_key()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gate, key, "n-1")
        gated.arrived.acquire(timeout=30)
        answer = ask(gate, key, "n-1", "other")
        gated.go.set()

        assert first.result()[0] == 200
    assert (answer[0], code(answer)) == (422, "idempotency_key_reused")


def test_a_client_that_lost_its_connection_gets_the_answer_by_its_retry(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = gated = Gated()
    key = gate.new_key(owner="lost")
    lost = RawClient(gate.port)
    lost.post("/v1/chat/completions", key, body(), "idempotency-key: n-1")
    gated.arrived.acquire(timeout=30)
    lost.reset()
    time.sleep(0.2)
    with ThreadPoolExecutor(1) as pool:
        retry = pool.submit(ask, gate, key, "n-1")
        time.sleep(0.2)
        gated.go.set()
        answer = retry.result()

    assert (answer[0], replayed(answer)) == (200, True)
    assert len(upstream.requests) == 1
    assert spent(gate, "lost", 2) == (COST, 1)


class Steady:
    """Streams words at a pace; tells when its client closed."""

    def __init__(self, words: int, pace: float) -> None:
        self.events = chat_events(["word "] * words, usage_of(9, words))
        self.closed = threading.Event()
        self.finished = threading.Event()
        self._pace = pace

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        connection.send(SSE_HEAD)
        for event in self.events:
            if not connection.chunk(event):
                self.closed.set()
                return None
            time.sleep(self._pace)
        self.finished.set()
        return connection.end()


@pytest.mark.parametrize("wait_for_the_end", [False, True], ids=["while it comes", "after its end"])
def test_a_stream_whose_client_left_is_remembered_whole(
    gate: GateProcess, upstream: ScriptedUpstream, wait_for_the_end: bool
) -> None:
    upstream.script = steady = Steady(20, 0.03)
    key = gate.new_key()
    lost = RawClient(gate.port)
    lost.post("/v1/chat/completions", key, body(stream=True), "idempotency-key: n-1")
    lost.read_until(b"word")
    lost.reset()
    if wait_for_the_end:
        assert steady.finished.wait(30)
    with RawClient(gate.port) as retry:
        retry.post("/v1/chat/completions", key, body(stream=True), "idempotency-key: n-1")
        answer = retry.read_until(b"\r\n0\r\n\r\n")

    assert body_of(answer) == (b"".join(chat_events(["word "] * 20, None)), True)
    assert header(answer, b"idempotent-replayed") == "true"
    assert len(upstream.requests) == 1
    event = gate.event(header(lost.received, b"x-request-id"))
    assert (event["outcome"], event["quality"], event["output_tokens"]) == ("client_left", "reported", 20)
    assert gate.event(header(answer, b"x-request-id"))["cost_usd"] == "0"


def test_what_was_cancelled_is_not_remembered(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> None:
    upstream.script = steady = Steady(200, 0.03)
    config = CONFIG.format(url=upstream.url, leave="cancel", ttl=86_400)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()
        lost = RawClient(gate.port)
        lost.post("/v1/chat/completions", key, body(stream=True), "idempotency-key: n-1")
        lost.read_until(b"word")
        lost.sock.close()
        assert steady.closed.wait(30)
        upstream.script = event_stream(b"".join(chat_events(["anew"], usage_of(9, 1))))

        answer = ask(gate, key, "n-1", stream=True)

        assert (answer[0], replayed(answer)) == (200, False)
        assert b"anew" in answer[2]
        assert len(upstream.requests) == 2


def test_a_stream_that_broke_off_is_not_remembered(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(b"".join(chat_events(["one"], None, finish=False)))
        connection.reset()

    upstream.script = script
    key = gate.new_key()
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, body(stream=True), "idempotency-key: n-1", "connection: close")
        assert not body_of(client.read_all())[1]
    upstream.script = event_stream(b"".join(chat_events(["well"], usage_of(9, 1))))

    answer = ask(gate, key, "n-1", stream=True)

    assert (b"well" in answer[2], replayed(answer)) == (True, False)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_too_large_to_keep_is_not_charged_twice_in_silence(
    gate: GateProcess, upstream: ScriptedUpstream, streamed: bool
) -> None:
    words = ["word " * 100] * 100
    whole, stream = json_answer(200, chat_answer("".join(words))), event_stream(b"".join(chat_events(words, None)))
    upstream.script = stream if streamed else whole
    key = gate.new_key()
    assert ask(gate, key, "n-1", stream=streamed)[0] == 200

    answer = ask(gate, key, "n-1", stream=streamed)

    assert (answer[0], code(answer)) == (422, "idempotency_answer_too_large")
    assert len(upstream.requests) == 1


def test_answers_are_forgotten_after_their_time(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> None:
    config = CONFIG.format(url=upstream.url, leave="drain", ttl=0.3)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()
        ask(gate, key, "n-1")
        time.sleep(0.4)

        assert not replayed(ask(gate, key, "n-1", "even another request"))


def test_no_more_answers_than_allowed_are_remembered(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    for number in range(31):
        ask(gate, key, f"n-{number}")

    assert replayed(ask(gate, key, "n-30"))
    assert not replayed(ask(gate, key, "n-0"))


def test_an_upload_is_known_by_its_name_as_its_bytes_differ_each_time(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, {"text": "hello"})
    key = gate.new_key()

    def form(boundary: str) -> Answer:
        part = f"--{boundary}\r\ncontent-disposition: form-data; name="
        data = f'{part}"model"\r\n\r\nm\r\n{part}"file"; filename="a"\r\n\r\naudio\r\n--{boundary}--\r\n'.encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return gate.call("POST", "/v1/audio/transcriptions", key, data, content_type=kind, idempotency_key="n-1")

    first, second = form("one"), form("another")

    assert (first[0], second[0], replayed(second)) == (200, 200, True)
    assert second[2] == first[2]
    assert len(upstream.requests) == 1


def test_it_goes_before_the_cache_and_both_agree(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(owner="both")

    answers = [ask(gate, key, name, model="kept") for name in ("n-1", "n-2", "n-2")]

    assert [(answer[1].get("x-tollkeeper-cache"), replayed(answer)) for answer in answers] == [
        ("stored", False),
        ("hit", False),
        (None, True),
    ]
    assert len(upstream.requests) == 1
    assert spent(gate, "both", 3) == (COST, 1)
    assert gate.event(answers[2][1]["x-request-id"])["saved_usd"] == COST


def test_after_a_restart_a_retry_is_a_request_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> None:
    config = CONFIG.format(url=upstream.url, leave="drain", ttl=86_400)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()
        first = ask(gate, key, "n-1")
        assert gate.stop() == 0
        gate.start()

        second = ask(gate, key, "n-1")

        assert not replayed(second)
        assert notes(gate, first) == notes(gate, second) != []


def test_after_a_crash_the_records_tell_what_a_retry_repeated(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> None:
    upstream.script = gated = Gated()
    config = CONFIG.format(url=upstream.url, leave="drain", ttl=86_400)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()
        with RawClient(gate.port) as lost:
            lost.post("/v1/chat/completions", key, body(), "idempotency-key: n-1")
            gated.arrived.acquire(timeout=30)
            gate.stop(signal.SIGKILL)
        gated.go.set()
        gate.start()

        answer = ask(gate, key, "n-1")

        assert not replayed(answer)
        [recovered] = [event for event in gate.events() if event["quality"] == "recovered"]
        kept = [note for note in recovered["trace"] if note[0] == "idempotency"]
        assert kept == notes(gate, answer) != []

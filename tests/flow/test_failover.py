"""A call whose target fails is answered by another, is tried again within bounds, or ends as its provider said."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import request
from kit.outbound import answered, raw
from kit.raw import RawClient
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    Script,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)
from kit.several import WELL, Several, failing, reset, several, silent

JSON = "content-type: application/json"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SHORT = "connect = 10, first_byte = 1.5, idle = 1.5, total = 30"
STALE = ("upstream_reset", "upstream_closed")
NO_EJECTION = "[health]\nfailures = 1000\ncool = 0.001\nkey_rest = 0.001\n"
SAID = json.dumps(chat_answer("well")).encode()


def _error_event(code: str, behind: bytes = b"") -> Script:
    """`behind`: what comes in the same piece."""
    event = b'data: {"error":{"message":"no","type":"%s","code":"%s"}}\n\n' % (code.encode(), code.encode())
    return event_stream(event + behind)


def _answer(stream: bool) -> Script:
    return event_stream(b"".join(chat_events(["well"], usage_of(9, 3)))) if stream else WELL


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """Two targets in order; the first one's failures are not held against it, so that each test begins with it."""
    with several(tmp_path_factory.mktemp("pair"), [WELL, WELL], NO_EJECTION, timeouts=SHORT) as running:
        yield running


def _outcomes(running: Several, headers: dict[str, str], count: int) -> list[tuple[int, str, str, str | None]]:
    """Attempt, provider, outcome and code of the events of one call, in order."""
    until = time.monotonic() + 30
    while True:
        events = running.gate.events(request_id=headers["x-request-id"])
        if len(events) >= count or time.monotonic() > until:
            break
        time.sleep(0.02)
    events.sort(key=lambda event: event["attempt"])
    return [(event["attempt"], event["provider"], event["outcome"], event["error_code"]) for event in events]


PLAIN = [
    (failing(500), "upstream_500"),
    (failing(502), "upstream_502"),
    (failing(503, "retry-after: 0"), "upstream_503"),
    (failing(529), "upstream_529"),
    (failing(501), "upstream_501"),
    (failing(429), "upstream_429"),
    (failing(429, code="insufficient_quota"), "upstream_429"),
    (failing(408), "upstream_408"),
    (failing(409), "upstream_409"),
    (failing(425), "upstream_425"),
    (failing(401), "upstream_auth_failed"),
    (failing(402), "upstream_402"),
    (failing(403, code="permission_denied"), "upstream_403"),
    (reset, "upstream_reset"),
    (raw(b"", "close"), "upstream_closed"),
    (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9", "close"), "upstream_closed"),
    (raw(b"nonsense\r\n\r\n", "close"), "upstream_invalid_http"),
    (raw(answered(SAID, JSON)[:-20], "reset"), "upstream_cut"),
    (raw(answered(SAID, JSON)[:-20], "silent"), "upstream_stalled"),
    (raw(answered(b"<html>", "content-type: text/html")), "upstream_bad_answer"),
    (raw(answered(b"", JSON)), "upstream_bad_answer"),
    (raw(answered(b'{"id": ', JSON)), "upstream_bad_answer"),
    (raw(answered(b'{"error": {"message": "no", "code": 502}}', JSON)), "502"),
    (raw(answered(b'{"error": {"message": "no", "type": "server_error"}}', JSON)), "server_error"),
    (raw(answered(b"", "location: http://127.0.0.1:1/", status="302 Found")), "upstream_redirect"),
    (silent, "upstream_timeout"),
]


@pytest.mark.row(25)
@pytest.mark.row(26)
@pytest.mark.parametrize(("script", "code"), PLAIN, ids=[f"{number}-{code}" for number, (_, code) in enumerate(PLAIN)])
def test_what_fails_before_its_answer_began_is_answered_by_the_next_target(
    pair: Several, script: Script, code: str
) -> None:
    pair.upstreams[0].script, pair.upstreams[1].script = script, WELL
    pair.forget()

    status, headers, body = pair.ask()

    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "well")
    # A kept connection that ends without a word is replaced by a new one first.
    again = code in STALE and headers["x-tollkeeper-attempts"] == "3"
    assert (headers["x-tollkeeper-attempts"], headers["x-tollkeeper-model"]) == ("3" if again else "2", "b/m")
    assert pair.counts() == [1 + again, 1]
    *firsts, last = _outcomes(pair, headers, 2 + again)
    assert {(first[1], first[3]) for first in firsts} == {("a", code)}
    assert last == (2 + again, "b", "ok", None)


STREAMED = [
    (_error_event("server_error"), "server_error"),
    (_error_event("429"), "429"),
    (_error_event("rate_limit_exceeded"), "rate_limit_exceeded"),
    (_error_event("server_error", b"data: [DONE]\n\n"), "server_error"),
    (raw(STREAM + b"0\r\n\r\n"), "upstream_bad_answer"),
    (event_stream(b": a comment\n\n"), "upstream_bad_answer"),
    (event_stream(b"data: <html>\n\n"), "upstream_bad_answer"),
    (raw(STREAM, "reset"), "upstream_cut"),
    (raw(STREAM, "silent"), "upstream_stalled"),
]


@pytest.mark.row(25)
@pytest.mark.row(26)
@pytest.mark.parametrize(
    ("script", "code"), STREAMED, ids=[f"{number}-{code}" for number, (_, code) in enumerate(STREAMED)]
)
def test_a_stream_that_fails_before_its_first_event_is_given_by_the_next_target(
    pair: Several, script: Script, code: str
) -> None:
    pair.upstreams[0].script, pair.upstreams[1].script = script, _answer(stream=True)
    pair.forget()

    status, headers, body = pair.ask(stream=True)

    assert (status, body) == (200, b"".join(chat_events(["well"], None, null_usage=False)))
    assert headers["x-tollkeeper-attempts"] == "2"
    first, second = _outcomes(pair, headers, 2)
    assert (first[1], first[3]) == ("a", code)
    assert second == (2, "b", "ok", None)
    costs = {event["attempt"]: event["cost_usd"] for event in pair.gate.events(request_id=headers["x-request-id"])}
    # Where headers of success came and then nothing, the provider may have read the prompt.
    assert costs[1] == "0" or code in ("upstream_cut", "upstream_stalled")


def test_what_a_failed_attempt_took_at_its_provider_is_not_the_gates_overhead(pair: Several) -> None:
    def slow(asked: Request, connection: Connection) -> bool | None:
        time.sleep(1.0)
        return failing(500)(asked, connection)

    pair.upstreams[0].script, pair.upstreams[1].script = slow, WELL

    began = time.monotonic()
    status, headers, _ = pair.ask()
    took = time.monotonic() - began

    assert (status, headers["x-tollkeeper-attempts"]) == (200, "2")
    assert float(headers["x-tollkeeper-overhead-ms"]) <= (took - 1.0) * 1000


@pytest.mark.parametrize(
    "script",
    [
        failing(400, code="invalid_value"),
        failing(404, code="model_not_found"),
        failing(413),
        failing(422),
        failing(400, code="content_filter"),
        failing(403, code="content_policy_violation"),
        _error_event("invalid_request_error"),
        _error_event("content_filter"),
    ],
)
def test_what_is_wrong_with_the_request_itself_is_the_callers_answer(pair: Several, script: Script) -> None:
    pair.upstreams[0].script = script
    pair.forget()

    status, headers, body = pair.ask(stream=True)

    assert b'"error"' in body
    assert status in (200, 400, 403, 404, 413, 422)
    assert (headers["x-tollkeeper-attempts"], pair.counts()) == ("1", [1, 0])


@pytest.mark.row(25)
def test_a_stream_that_has_begun_is_not_begun_again(pair: Several) -> None:
    def cut(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one"], None)[0])
        time.sleep(0.1)
        connection.reset()

    pair.upstreams[0].script = cut
    pair.forget()
    with RawClient(pair.gate.port) as client:
        client.post(
            "/v1/chat/completions", pair.key, {"model": "m", "messages": [], "stream": True}, "connection: close"
        )
        received = client.read_all()

    assert b"one" in received
    assert b"upstream_cut" in received
    assert pair.counts() == [1, 0]


def test_a_body_that_was_passed_on_as_it_came_is_not_sent_twice(pair: Several) -> None:
    pair.upstreams[0].script, pair.upstreams[1].script = failing(500), WELL
    pair.forget()
    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    form += b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n'

    status, headers, _ = pair.gate.call(
        "POST", "/v1/audio/transcriptions", pair.key, form, content_type="multipart/form-data; boundary=x"
    )

    assert (status, headers["x-tollkeeper-attempts"], pair.counts()) == (500, "1", [1, 0])


def test_but_it_is_where_nothing_of_it_had_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    form += b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n'
    with several(tmp_path, [WELL, json_answer(200, {"text": "hi"})]) as running:
        running.reconfigure(running.upstreams[0].url, f"http://127.0.0.1:{port}/v1")

        status, headers, body = running.gate.call(
            "POST", "/v1/audio/transcriptions", running.key, form, content_type="multipart/form-data; boundary=x"
        )

        assert (status, headers["x-tollkeeper-attempts"], json.loads(body)) == (200, "2", {"text": "hi"})
        [sent] = running.upstreams[1].requests
        assert b"RIFF" in sent.body
        assert _outcomes(running, headers, 2)[0][3] == "upstream_refused"


def test_what_might_be_made_twice_is_not_tried_again(pair: Several) -> None:
    pair.upstreams[0].script = failing(500)
    pair.forget()

    made = pair.gate.call("POST", "/v1/batches", pair.key, {"input_file_id": "f", "endpoint": "/v1/chat/completions"})
    assert (made[0], pair.counts()) == (500, [1, 0])

    looked = pair.gate.call("GET", "/v1/batches/batch_1", pair.key)
    assert (looked[0], looked[1]["x-tollkeeper-attempts"], pair.counts()) == (500, "3", [4, 0])


def test_every_targets_own_error_is_known_and_the_last_one_is_the_answer(pair: Several) -> None:
    pair.upstreams[0].script, pair.upstreams[1].script = failing(500), failing(503, code="over_capacity")
    pair.forget()

    status, headers, body = pair.ask()

    assert status in (500, 503)
    assert headers["x-tollkeeper-attempts"] == "4"
    assert sum(pair.counts()) == 4
    assert json.loads(body)["error"]["message"] == "no"
    events = _outcomes(pair, headers, 4)
    assert [event[0] for event in events] == [1, 2, 3, 4]
    assert {event[2] for event in events} == {"upstream_error"}


def test_a_providers_own_answer_is_worth_more_than_ours(tmp_path: Path) -> None:
    with several(tmp_path, [failing(429, "retry-after: 77"), silent], timeouts=SHORT) as running:
        status, headers, _ = running.ask()

        assert (status, headers["retry-after"], headers["x-tollkeeper-attempts"]) == (429, "77", "2")


def test_one_target_is_asked_again_and_may_be_well_by_then(tmp_path: Path) -> None:
    answers = iter([failing(500), failing(503), WELL])
    with several(tmp_path, [lambda asked, connection: next(answers)(asked, connection)]) as running:
        status, headers, _ = running.ask()

        assert (status, headers["x-tollkeeper-attempts"], running.counts()) == (200, "3", [3])
        assert [event[2] for event in _outcomes(running, headers, 3)] == ["upstream_error", "upstream_error", "ok"]
        assert 'tollkeeper_retries_total{gen_ai_provider_name="a"} 2.0' in running.metrics()


@pytest.mark.row(26)
@pytest.mark.parametrize("script", [silent, raw(answered(b"<html>", "content-type: text/html"))])
def test_nobody_is_asked_for_the_same_broken_answer_again_and_again(tmp_path: Path, script: Script) -> None:
    with several(tmp_path, [script], timeouts=SHORT) as running:
        status, headers, _ = running.ask()

        assert status in (502, 504)
        assert int(headers["x-tollkeeper-attempts"]) == running.counts()[0] == (1 if script is silent else 2)


def test_without_retries_there_is_one_attempt(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500), WELL], retry="[retry]\nretries = 0\n") as running:
        assert (running.ask()[0], running.counts()) == (500, [1, 0])


def test_a_429_rests_the_target_until_its_reset(tmp_path: Path) -> None:
    with several(tmp_path, [failing(429, "retry-after-ms: 700"), WELL]) as running:
        began = time.monotonic()
        assert (running.ask()[0], running.counts()) == (200, [1, 1])
        running.upstreams[0].script = WELL
        until = began + 30
        while running.ask()[1]["x-tollkeeper-model"] != "a/m" and time.monotonic() < until:
            time.sleep(0.02)

        assert time.monotonic() - began >= 0.7
        assert running.counts()[0] == 2
        assert running.said('"event":"target_cooled"')


def test_a_429_that_asks_for_longer_than_the_call_can_wait_is_its_answer_at_once(tmp_path: Path) -> None:
    with several(tmp_path, [failing(429, "retry-after: 40")]) as running:
        began = time.monotonic()
        status, headers, _ = running.ask()

        assert (status, headers["retry-after"], running.counts()) == (429, "40", [1])
        assert time.monotonic() - began < 30


def test_a_429_that_asks_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    answers = iter([failing(429, "retry-after-ms: 300"), WELL])
    with several(tmp_path, [lambda asked, connection: next(answers)(asked, connection)]) as running:
        status, _, _ = running.ask()

        first, second = running.upstreams[0].requests
        assert (status, second.at - first.at >= 0.3) == (200, True)


@pytest.mark.parametrize(
    "script", [failing(401), failing(402), failing(429, code="insufficient_quota")], ids=["401", "402", "quota"]
)
def test_a_refused_key_rests_with_all_its_models(tmp_path: Path, script: Script) -> None:
    more = '[models.n]\ntargets = ["a/other", "b/other"]\n'
    with several(tmp_path, [script, WELL], more) as running:
        statuses = [running.ask(model=name)[0] for name in ("m", "n", "m")]

        assert (statuses, running.counts()) == ([200] * 3, [1, 3])
        assert running.said('"event":"key_ejected","name":"a"')
        assert "tollkeeper_keys_ejected 1.0" in running.metrics()


def test_a_refusal_that_another_target_may_not_share_is_passed_over_where_the_model_says_so(tmp_path: Path) -> None:
    script = failing(400, code="context_length_exceeded")
    with several(tmp_path, [script, WELL], 'fall_back_on = ["context_length"]') as running:
        assert (running.ask()[0], running.counts()) == (200, [1, 1])
        running.upstreams[0].script = failing(400, code="content_filter")
        assert (running.ask()[0], running.counts()) == (400, [2, 1])


def test_an_error_that_every_stream_begins_with_reaches_the_client_as_the_provider_said_it(tmp_path: Path) -> None:
    with several(tmp_path, [_error_event("server_error"), _error_event("overloaded")]) as running:
        status, headers, body = running.ask(stream=True)

        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert body.startswith(b'data: {"error":{"message":"no"')
        assert headers["x-tollkeeper-attempts"] == "4"


@pytest.mark.parametrize(("code", "shown"), [(503, 503), (401, 502), ("server_error", 502)])
def test_an_error_under_a_success_is_shown_as_one_and_costs_nothing(pair: Several, code: object, shown: int) -> None:
    said = json.dumps({"error": {"message": "no", "code": code}}).encode()
    pair.upstreams[0].script = pair.upstreams[1].script = raw(answered(said, JSON))
    pair.forget()

    status, headers, body = pair.ask()

    assert (status, body) == (shown, said)
    ends = _outcomes(pair, headers, int(headers["x-tollkeeper-attempts"]))
    assert {end[2] for end in ends} == {"error"}
    assert {event["cost_usd"] for event in pair.gate.events(request_id=headers["x-request-id"])} == {"0"}


def test_a_second_attempt_that_a_budget_refuses_leaves_the_first_ones_answer(tmp_path: Path) -> None:
    answers = iter([failing(503, "retry-after-ms: 2500"), WELL])
    go = threading.Event()

    def slow(request: Request, connection: Connection) -> bool | None:
        go.wait(20)
        return WELL(request, connection)

    more = '[models.n]\ntargets = ["b/m"]\n'
    scripts: list[Script] = [lambda asked, connection: next(answers)(asked, connection), slow]
    with several(tmp_path, scripts, more, targets='"a/m"', timeouts="first_byte = 20") as running:
        running.key = running.gate.new_key(budgets=["1000 tokens"])
        found: list[tuple[int, dict[str, str], bytes]] = []
        first = threading.Thread(target=lambda: found.append(running.ask(max_tokens=100)))
        first.start()
        running.gate.events_once(1)
        other = threading.Thread(target=lambda: running.ask(model="n", max_tokens=600))
        other.start()
        first.join()
        go.set()
        other.join()

        [(status, headers, body)] = found
        assert (status, json.loads(body)["error"]["message"]) == (503, "no")
        assert (headers["x-tollkeeper-attempts"], running.counts()) == ("1", [1, 1])
        assert running.gate.command("verify")["open_holds"] == 0


def test_a_client_that_leaves_before_its_attempt_fails_has_no_second_one(pair: Several) -> None:
    asked, gone = threading.Event(), threading.Event()

    def fail(request: Request, connection: Connection) -> bool | None:
        asked.set()
        gone.wait(30)
        time.sleep(0.1)  # until the gate has seen it
        return failing(500)(request, connection)

    pair.upstreams[0].script, pair.upstreams[1].script = fail, WELL
    pair.forget()
    before = len(pair.gate.events())
    with RawClient(pair.gate.port) as client:
        client.post("/v1/chat/completions", pair.key, {"model": "m", "messages": []})
        assert asked.wait(30)
    gone.set()
    pair.gate.events_once(before + 1)
    time.sleep(0.2)

    assert pair.counts() == [1, 0]


def test_a_call_that_is_refused_before_it_is_sent_takes_no_place(tmp_path: Path) -> None:
    with several(tmp_path, [WELL], targets='{ target = "a/m", concurrency = 1 }') as running:
        well, running.key = running.key, running.gate.new_key(budgets=["10 tokens"])
        assert [running.ask()[0] for _ in range(3)] == [429] * 3
        running.key = well

        assert [running.ask()[0] for _ in range(2)] == [200, 200]
        assert len(running.upstreams[0].requests) == 2


# --- time ----------------------------------------------------------------------------------------------------------


def test_a_call_ends_when_its_callers_time_is_over(tmp_path: Path) -> None:
    with several(tmp_path, [silent, silent], timeouts="first_byte = 20") as running:
        began = time.monotonic()
        status, headers, body = request(
            "POST",
            running.gate.url + "/v1/chat/completions",
            {"authorization": f"Bearer {running.key}", "x-tollkeeper-timeout": "0.6"},
            {"model": "m", "messages": []},
        )

        assert (status, json.loads(body)["error"]["code"]) == (504, "upstream_deadline")
        assert time.monotonic() - began < 15
        assert (headers["x-tollkeeper-attempts"], running.counts()) == ("1", [1, 0])


def test_the_next_target_gets_what_is_left_of_it(tmp_path: Path) -> None:
    with several(tmp_path, [silent, silent], timeouts="first_byte = 2", retry="[retry]\ndeadline = 3.5\n") as running:
        status, headers, body = running.ask()

        assert (status, headers["x-tollkeeper-attempts"], running.counts()) == (504, "2", [1, 1])
        assert json.loads(body)["error"]["code"] == "upstream_deadline", "not its own two seconds"


def test_a_call_that_comes_too_late_is_not_sent(tmp_path: Path) -> None:
    with several(tmp_path, [WELL]) as running:
        status, headers, body = running.gate.call(
            "POST", "/v1/chat/completions", running.key, {"model": "m", "messages": []}, x_tollkeeper_timeout="0.04"
        )

        assert (status, json.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
        assert (headers["x-should-retry"], running.counts()) == ("false", [0])
        assert "retry-after" not in headers, "it would come too late again"
        assert running.gate.command("verify")["open_holds"] == 0


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "inf", ""])
def test_a_time_that_is_none_is_refused(pair: Several, given: str) -> None:
    status, _, body = pair.gate.call(
        "POST", "/v1/chat/completions", pair.key, {"model": "m"}, x_tollkeeper_timeout=given
    )

    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_value")


def test_a_client_that_leaves_while_it_waits_for_a_retry_ends_it(tmp_path: Path) -> None:
    asked = threading.Event()

    def fail(request: Request, connection: Connection) -> bool | None:
        asked.set()
        return failing(503, "retry-after: 1")(request, connection)

    with several(tmp_path, [fail]) as running:
        with RawClient(running.gate.port) as client:
            client.post("/v1/chat/completions", running.key, {"model": "m", "messages": []})
            assert asked.wait(30)
            running.gate.events_once(1)
        time.sleep(1.5)  # longer than the wait that would have ended in another attempt

        assert running.counts() == [1]
        assert len(running.gate.events()) == 1

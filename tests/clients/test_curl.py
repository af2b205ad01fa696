"""curl: what people try first, and HTTP as no SDK speaks it."""

import json
import random
from pathlib import Path

import pytest

from clients.aimock import HELLO, HELLO_TOKENS, HELLO_USD
from clients.caller import Caller, tokens
from clients.environments import needs_curl, run
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_answer, chat_events, json_answer

pytestmark = needs_curl

ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "say hello"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def json_body(body: object) -> list[str]:
    """Options that send it; --json would need curl 7.82."""
    return ["--header", "Content-Type: application/json", "--data", json.dumps(body)]


def curl(caller: Caller, path: str, *options: str, given: str = "", key: str | None = None) -> tuple[int, str, str]:
    """Exit code, what was received, and the status (000 for none)."""
    bearer = ["--header", f"Authorization: Bearer {key or caller.key}"]
    status = ["--write-out", "%{stderr}%{http_code}", "--silent", "--max-time", "20"]
    done = run(["curl", *status, *bearer, *options, caller.gate.url + path], {}, given)
    return done.returncode, done.stdout, done.stderr[-3:]


def test_a_chat_completion_is_answered_and_charged(caller: Caller) -> None:
    code, body, status = curl(caller, "/v1/chat/completions", *json_body(ASK))

    assert (code, status) == (0, "200")
    assert json.loads(body)["choices"][0]["message"]["content"] == HELLO
    event = caller.event()
    assert (tokens(event), event["quality"], event["cost_usd"]) == (HELLO_TOKENS, "reported", HELLO_USD)


def test_a_body_that_curl_calls_a_form_is_read_as_the_json_that_it_is(caller: Caller) -> None:
    code, body, status = curl(caller, "/chat/completions", "--data", json.dumps(ASK))

    assert (code, status) == (0, "200"), body
    assert tokens(caller.event()) == HELLO_TOKENS


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_a_stream_ends_with_done(caller: Caller, version: str) -> None:
    code, body, status = curl(caller, "/v1/chat/completions", "--no-buffer", version, *json_body(STREAM))

    assert (code, status) == (0, "200")
    events = body.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert json.loads(events[-3].removeprefix("data: "))["usage"]["total_tokens"] == sum(HELLO_TOKENS)
    assert tokens(caller.event()) == HELLO_TOKENS


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_a_stream_that_its_provider_breaks_off_ends_with_an_error_event_and_a_failed_transfer(
    scripted_caller: Caller, upstream: ScriptedUpstream, version: str
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(b"".join(chat_events(["Once ", "upon "], None, finish=False)))
        connection.reset()

    upstream.script = script

    code, body, status = curl(scripted_caller, "/v1/chat/completions", "--no-buffer", version, *json_body(STREAM))

    assert status == "200"
    assert code in (18, 56), "18: the transfer ended early, 56: the connection was reset"
    assert "[DONE]" not in body
    last = json.loads(body.strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["error"]["code"] in ("upstream_cut", "upstream_reset")
    assert scripted_caller.event()["outcome"] == "upstream_cut"


@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
def test_the_key_may_come_in_another_header(caller: Caller, header: str) -> None:
    without = ["--header", "Authorization:", "--header", f"{header}: {caller.key}"]

    assert curl(caller, "/v1/chat/completions", *without, *json_body(ASK))[2] == "200"
    assert tokens(caller.event()) == HELLO_TOKENS


def test_a_wrong_key_a_wrong_method_and_a_broken_body_are_answered_in_openais_envelope(caller: Caller) -> None:
    _, body, status = curl(caller, "/v1/chat/completions", *json_body(ASK), key="tk-nobody")
    assert (status, json.loads(body)["error"]["code"]) == ("401", "invalid_api_key")

    _, body, status = curl(caller, "/v1/embeddings", "--request", "DELETE")
    assert (status, json.loads(body)["error"]["code"]) == ("405", "method_not_allowed")

    _, body, status = curl(caller, "/v1/chat/completions", "--data", "{no json")
    assert (status, json.loads(body)["error"]["code"]) == ("400", "invalid_json")
    assert caller.events(0) == []


def test_a_large_file_that_curl_asks_leave_for_goes_up_and_comes_down(caller: Caller, tmp_path: Path) -> None:
    given, back = tmp_path / "given.bin", tmp_path / "back.bin"
    given.write_bytes(random.Random(3).randbytes(4_000_000))

    form = ["--form", "purpose=user_data", "--form", f"file=@{given}", "--header", "Expect: 100-continue"]
    code, body, status = curl(caller, "/v1/files", *form)
    assert (code, status) == (0, "200"), body
    code, _, status = curl(caller, f"/v1/files/{json.loads(body)['id']}/content", "--output", str(back))

    assert (code, status) == (0, "200")
    assert back.read_bytes() == given.read_bytes()
    assert [(event["operation"], event["outcome"]) for event in caller.events(2)] == [("files", "ok")] * 2


def test_a_body_of_unknown_length_reaches_the_provider_whole(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, chat_answer("Hi", 9, 1))
    text = json.dumps({**ASK, "padding": "ž" * 300_000})

    options = ["--header", "Transfer-Encoding: chunked", "--header", "Content-Type: application/json"]
    code, _, status = curl(
        scripted_caller, "/v1/chat/completions", *options, "--request", "POST", "--upload-file", "-", given=text
    )

    assert (code, status) == (0, "200")
    assert upstream.requests[-1].body == text.encode()
    assert tokens(scripted_caller.event()) == (9, 1)


def test_an_answer_to_a_client_that_accepts_gzip_can_be_read(caller: Caller) -> None:
    code, body, _ = curl(caller, "/v1/chat/completions", "--compressed", *json_body(ASK))

    assert code == 0
    assert json.loads(body)["choices"][0]["message"]["content"] == HELLO
    assert tokens(caller.event()) == HELLO_TOKENS

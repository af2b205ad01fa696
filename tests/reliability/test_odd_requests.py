"""What is well framed and still no call: broken JSON, control characters, other methods, other protocols, false claims."""

import json
import time

import pytest

from kit.gate import GateProcess
from kit.raw import RawClient, refusal
from kit.scripted import ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer
from kit.vitals import resident

ASK = {"model": "m", "messages": []}
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
MEGABYTE = 1024 * 1024


def _json(text: str) -> bytes:
    return b'{"model":"m","messages":[],"x":' + text.encode() + b"}"


@pytest.mark.row(17)
@pytest.mark.parametrize(
    "body",
    [
        _json("[" * 10_000 + "]" * 10_000),
        _json('{"a":' * 10_000 + "1" + "}" * 10_000),
        _json("[" * 100_000),
        _json('1,"x":2'),
        _json("NaN"),
        _json("-Infinity"),
        _json('"\\ud800"'),
        _json('"\\udc00\\ud800"'),
        b"\xef\xbb\xbf" + _json("1"),
        _json("1").decode().encode("utf-16"),
        _json('"\xff"').replace(b"\xc3\xbf", b"\xff"),
        _json('"a\nb"'),
        _json("01"),
        _json("1.") + b"trailing",
        b'"just a string"',
        b"\x00" * 100,
    ],
    ids=[
        *("arrays", "objects", "unclosed", "twice", "nan", "infinity", "surrogate", "surrogates", "bom", "utf-16"),
        *("not utf-8", "raw line feed", "leading zero", "trailing", "a string", "zeros"),
    ],
)
def test_json_that_parsers_choke_on_or_read_differently_is_refused(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, body: bytes
) -> None:
    before = len(upstream.requests)

    status, _, answer = gate.call("POST", "/v1/chat/completions", key, body)

    error = json.loads(answer)["error"]
    assert (status, error["code"], error["type"]) == (400, "invalid_json", "invalid_request_error")
    assert len(upstream.requests) == before


@pytest.mark.row(17)
@pytest.mark.parametrize(
    "body",
    [
        _json('"' + "a" * 900_000 + '"'),
        _json("1" * 5000),
        _json("1e999"),
        _json('"\\ud83d\\ude00\\u0000"'),
        _json("[" * 500 + "]" * 500),
        b'{"model":"m","messages":[],"max_tokens":' + b"9" * 400 + b"}",
        b'{"model":"m","messages":[],"n":1e400,"temperature":-1e-400}',
    ],
    ids=["long string", "huge integer", "1e999", "escaped nul", "deep", "max_tokens", "n"],
)
def test_json_that_is_merely_odd_passes_as_it_is_or_is_refused_in_the_envelope(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, body: bytes
) -> None:
    before = len(upstream.requests)

    status, _, answer = gate.call("POST", "/v1/chat/completions", key, body)

    if status == 200:
        assert upstream.requests[-1].body == body
    else:
        assert (status, json.loads(answer)["error"]["type"]) == (400, "invalid_request_error")
        assert len(upstream.requests) == before


@pytest.mark.row(18)
@pytest.mark.parametrize("character", ["\n", "\r", "\r\n", "\x00", "\x1b", "\x85", "\u2028", "\x7f"])
def test_a_control_character_in_a_models_name_is_refused_and_not_repeated(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, character: str
) -> None:
    before = len(upstream.requests)

    status, headers, answer = gate.call("POST", "/v1/chat/completions", key, {**ASK, "model": f"m{character}forged: 1"})

    assert status == 400
    assert b"forged" not in answer
    assert "forged" not in str(headers) + gate.log()
    assert len(upstream.requests) == before


@pytest.mark.row(18)
@pytest.mark.parametrize("bytes_", [b"\r", b"\n", b"\x00", b"\r\n\tfolded", b"\x01", b"\x7f"])
def test_a_control_character_in_a_header_is_refused(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, bytes_: bytes
) -> None:
    before = len(upstream.requests)
    with RawClient(gate.port) as client:
        client.send(POST + b"x-custom: a" + bytes_ + b"forged: 1\r\n")
        client.send(b"authorization: Bearer %b\r\ncontent-length: 2\r\n\r\n{}" % key.encode())
        answer = client.read_all()

    assert refusal(answer) == (400, "invalid_http")
    assert b"forged" not in answer
    assert len(upstream.requests) == before


@pytest.mark.row(18)
def test_escaped_control_characters_in_other_fields_are_data_and_begin_no_line_anywhere(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    odd = "a\r\nforged: 1\x00\x1b[2J"
    body = {**ASK, "user": odd, "metadata": {odd: odd}, "messages": [{"role": "user", "content": odd, "name": odd}]}

    status, headers, answer = gate.call("POST", "/v1/chat/completions", key, body)

    assert status == 200
    assert upstream.requests[-1].json() == body
    assert "forged" not in str(headers) + answer.decode() + gate.log() + str(upstream.requests[-1].headers)


@pytest.mark.row(18)
@pytest.mark.parametrize(
    "target",
    [b"/v1/x%0d%0aforged", b"/v1/x%00", b"/v1/x\xff\xfe", b"/v1/\xc3\xa9", b"/v1/x?a=\xff", b"/v1/x?a=%0d%0aforged:1"],
)
def test_odd_bytes_in_a_target_make_no_new_line_and_no_defect(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, target: bytes
) -> None:
    with RawClient(gate.port) as client:
        client.send(b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n" % key.encode())
        client.send(b"connection: close\r\n\r\n")
        answer = client.read_all()

    assert int(answer.split(b" ")[1]) in (200, 400, 404)
    assert b"\nforged" not in answer
    assert [line for line in gate.log().splitlines() if not line.startswith("{")] == []
    assert not [name for sent in upstream.requests for name in sent.headers if "forged" in name]


@pytest.mark.row(19)
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HEAD /v1/models HTTP/1.1\r\n", 405),
        (b"HEAD /healthz HTTP/1.1\r\n", 200),
        (b"OPTIONS /v1/chat/completions HTTP/1.1\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\n", 400),
        (b"TRACE /v1/chat/completions HTTP/1.1\r\n", 405),
        (b"CONNECT api.openai.com:443 HTTP/1.1\r\n", 405),
        (b"CONNECT /v1/chat/completions HTTP/1.1\r\n", 405),
        (b"GET http://169.254.169.254/v1/models HTTP/1.1\r\n", 400),
        (b"MADEUP /v1/models HTTP/1.1\r\n", 400),
        (b"PROPFIND /v1/models HTTP/1.1\r\n", 405),
    ],
)
def test_methods_that_are_no_calls_have_their_answers(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, sent: bytes, status: int
) -> None:
    before = len(upstream.requests)
    with RawClient(gate.port) as client:
        client.send(sent + b"host: x\r\nauthorization: Bearer %b\r\nconnection: close\r\n\r\n" % key.encode())
        answer = client.read_all()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split(b" ")[1]) == status
    assert (body == b"") == sent.startswith(b"HEAD")
    assert (b"\r\nallow: " in head) == (status == 405)
    assert len(upstream.requests) == before


@pytest.mark.row(19)
def test_a_client_that_waits_to_send_its_body_is_told_first_where_it_would_be_refused(
    gate: GateProcess, key: str
) -> None:
    with RawClient(gate.port) as client:
        client.send(POST + b"authorization: Bearer %b\r\nexpect: 100-continue\r\n" % key.encode())
        client.send(b"content-length: 2000001\r\n\r\n")
        client.read_until(b"}}")

    assert b"100 Continue" not in client.received
    assert refusal(client.received) == (413, "request_too_large")


@pytest.mark.row(20)
def test_http_2_is_not_spoken_so_its_floods_end_at_the_first_line(gate: GateProcess) -> None:
    flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1000
    before = resident(gate.process.pid)
    for _ in range(20):
        with RawClient(gate.port) as client:
            client.send(flood)
            assert refusal(client.read_all()) == (400, "invalid_http")

    assert resident(gate.process.pid) - before < 4 * MEGABYTE


@pytest.mark.row(20)
@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_an_offer_to_go_on_in_http_2_is_passed_over_and_the_request_answered(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, pause: float
) -> None:
    """As Java's client makes it with every first request; what follows the offer is HTTP/1.1, or refused."""
    body = json.dumps(ASK).encode()
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    head = POST + offer + b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (key.encode(), len(body))
    before = len(upstream.requests)
    with RawClient(gate.port) as client:
        for piece in (head, body[:5], body[5:] + head + body, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            client.send(piece)
            time.sleep(pause)
        answers = client.read_all()

    assert answers.count(b"HTTP/1.1 200") == 2
    assert refusal(answers) == (400, "invalid_http")
    sent = upstream.requests[before:]
    assert [request.body for request in sent] == [body, body]
    assert all("upgrade" not in request.headers and "http2-settings" not in request.headers for request in sent)


@pytest.mark.row(21)
@pytest.mark.parametrize("sent", ["nothing", "half of the headers", "half of the body", "half of a file"])
def test_a_client_that_leaves_before_its_request_is_whole_costs_nobody_anything(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, sent: str
) -> None:
    before = len(upstream.requests)
    head = POST + b"authorization: Bearer %b\r\n" % key.encode()
    begun = {
        "nothing": b"",
        "half of the headers": head,
        "half of the body": head + b"content-length: 100\r\n\r\n{",
        "half of a file": head.replace(b"chat/completions", b"files") + b"content-length: 100\r\n\r\nabc",
    }[sent]
    for leave in (RawClient.reset, lambda client: client.sock.close()):
        client = RawClient(gate.port)
        client.send(begun)
        time.sleep(0.05)
        leave(client)

    assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200
    assert [request.method for request in upstream.requests[before:] if request.path.endswith("completions")] == [
        "POST"
    ]
    if sent == "half of a file":
        assert gate.command("verify")["open_holds"] == 0


@pytest.mark.row(23)
def test_what_a_client_says_about_its_way_here_is_neither_believed_nor_passed_on(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    said = {
        "X-Forwarded-For": "127.0.0.1, 10.0.0.1",
        "X-Forwarded-Host": "internal.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "X-Real-IP": "127.0.0.1",
        "Forwarded": "for=127.0.0.1;host=internal.example",
        "Via": "1.1 trusted",
        "True-Client-IP": "127.0.0.1",
        "X-Client-IP": "127.0.0.1",
        "CF-Connecting-IP": "127.0.0.1",
        "X-Original-URL": "/admin",
        "X-Rewrite-URL": "/admin",
        "X-HTTP-Method-Override": "DELETE",
        "X-Request-Id": "chosen-by-the-client",
    }
    body = json.dumps(ASK)
    with RawClient(gate.port) as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: internal.example\r\n")
        client.send("".join(f"{name}: {value}\r\n" for name, value in said.items()).encode())
        client.send(f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        client.read_until(b"chat.completion")

    sent = upstream.requests[-1]
    assert (sent.method, sent.path) == ("POST", "/v1/chat/completions")
    assert sent.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert not {name.lower() for name in said} & set(sent.headers)
    assert b"chosen-by-the-client" not in client.received
    wrong = gate.call(
        "POST", "/v1/chat/completions", "tk-wrong", ASK, **{n.replace("-", "_"): v for n, v in said.items()}
    )
    assert wrong[0] == 401


@pytest.mark.parametrize("path", ["/v1/chat%2Fcompletions", "/V1/Chat/Completions", "/v1/chat/completions;x"])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_path_written_in_a_way_of_ones_own_does_not_lead_past_a_budget(
    gate: GateProcess, upstream: ScriptedUpstream, path: str, streamed: bool
) -> None:
    words = ["one ", "two ", "three "] * 30
    silent = {name: value for name, value in chat_answer("".join(words)).items() if name != "usage"}
    upstream.script = event_stream(b"".join(chat_events(words, None))) if streamed else json_answer(200, silent)
    secret = gate.new_key(budgets=["100000 tokens/day"])

    status, headers, body = gate.call("POST", path, secret, {**ASK, "stream": streamed, "max_tokens": 200})

    assert status == 200, body
    event = gate.event(headers["x-request-id"])
    assert (event["quality"], event["outcome"]) == ("counted", "ok")
    assert event["output_tokens"] >= len(words)

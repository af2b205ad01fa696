"""Routes and global rules before the gate's own endpoints; and paths in one form."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import CONFIG
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer
from tollkeeper.core.call import Reply, Sink
from tollkeeper.server.routed import _response, normalised, query_of

ROUTES = """
[consumers.ada]
[consumers.ada.plugins.mocking]
response_example = "for ada: $uri"
content_type = "text/plain"
_meta = { filter = [["arg_mocked", "==", "1"]] }

[routes.models]
uri = "/v1/chat/completions"
plugins.key-auth = { header = "x-api-key" }
"""
ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def fronted(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = CONFIG.format(url=upstream.url) + ROUTES
    with running_gate(tmp_path_factory.mktemp("fronted"), config) as running:
        yield running


def test_one_key_serves_a_route_and_the_model_behind_it(fronted: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!"))
    ada, other = fronted.new_key(name="ada"), fronted.new_key(name="other")

    status, headers, body = fronted.call("POST", "/v1/chat/completions", ada, ASK, x_api_key=ada)
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "Hello!")
    assert headers["x-tollkeeper-attempts"] == "1"
    assert fronted.event(headers["x-request-id"])["outcome"] == "ok"
    assert fronted.call("POST", "/v1/chat/completions", other, ASK, x_api_key=other)[0] == 401
    mocked = fronted.call("POST", "/v1/chat/completions?mocked=1", ada, ASK, x_api_key=ada)
    assert mocked[2] == b"for ada: /v1/chat/completions"


def test_a_stream_of_a_model_passes_a_route(fronted: GateProcess, upstream: ScriptedUpstream) -> None:
    events = b"".join([*chat_events(["Hel", "lo"], None), b"data: [DONE]\n\n"])
    upstream.script = event_stream(events)
    ada = fronted.new_key(name="ada2")
    fronted.operator("PUT", "/apisix/admin/consumers", {"username": "ada2"})

    status, _, body = fronted.call("POST", "/v1/chat/completions", ada, {**ASK, "stream": True}, x_api_key=ada)

    assert status == 200
    assert b'"Hel"' in body
    assert body.endswith(b"data: [DONE]\n\n")


def test_global_rules_hold_for_the_gate_s_own_endpoints(fronted: GateProcess) -> None:
    rule = {
        "plugins": {"mocking": {"response_example": "closed", "response_status": 503, "content_type": "text/plain"}}
    }
    key = fronted.new_key(name="anybody")
    fronted.operator("PUT", "/apisix/admin/global_rules/1", rule)
    try:
        assert fronted.call("GET", "/v1/models", key)[::2] == (503, b"closed")
        assert fronted.call("GET", "/elsewhere", key)[::2] == (503, b"closed")
        assert fronted.call("GET", "/healthz", key)[0] == 200
    finally:
        fronted.operator("DELETE", "/apisix/admin/global_rules/1")
    assert fronted.call("GET", "/v1/models", key)[0] == 200


def test_what_plugins_make_of_headers_is_what_the_gate_s_own_endpoints_read(
    fronted: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!"))
    key = fronted.new_key(name="ada3")
    fronted.operator("PUT", "/apisix/admin/consumers", {"username": "ada3"})
    rule = {"plugins": {"proxy-rewrite": {"headers": {"set": {"Authorization": f"Bearer {key}"}}}}}
    fronted.operator("PUT", "/apisix/admin/global_rules/2", rule)
    long = {**ASK, "messages": [{"role": "user", "content": "hi" * 50_000}]}
    try:
        assert fronted.call("POST", "/v1/chat/completions", "nobody", long, x_api_key=key)[0] == 200
        assert fronted.call("POST", "/v1/chat/completions", "nobody", ASK, x_api_key=key)[0] == 200
    finally:
        fronted.operator("DELETE", "/apisix/admin/global_rules/2")
    assert fronted.call("POST", "/v1/chat/completions", "nobody", ASK, x_api_key=key)[0] == 401


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a/b", "/a/b"),
        (b"/a/../b", "/b"),
        (b"/../../b", "/b"),
        (b"/a/./b/.", "/a/b/"),
        (b"/a/b/..", "/a/"),
        (b"/%61%2e%2e/%2E%2E/b", "/b"),
        (b"/a%2fb%2Fc", "/a%2Fb%2Fc"),
        (b"/a%252fb", "/a%252fb"),
        (b"/%c3%a9", "/é"),
        (b"/a//b", "/a//b"),
        (b"/", "/"),
    ],
)
def test_a_path_has_one_form(raw: bytes, path: str) -> None:
    assert normalised(raw) == path


def test_a_query_has_no_bytes_beyond_ascii() -> None:
    """Which a server in front of the gate may let in."""
    assert query_of(b"a=%41+1&b=\xc3\xa9\xff") == "a=%41+1&b=%C3%A9%FF"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [({"filters": [{"regex": "lo", "replace": "LO"}]}, b'"LO"'), ({"body": "another"}, b"another")],
)
def test_a_stream_of_a_model_that_a_plugin_changes_has_an_end(
    fronted: GateProcess, upstream: ScriptedUpstream, changes: dict[str, Any], wanted: bytes
) -> None:
    upstream.script = event_stream(b"".join(chat_events(["Hel", "lo"], None)))
    plugins = {"proxy-rewrite": {"uri": "/v1/chat/completions"}, "response-rewrite": changes}
    fronted.operator("PUT", "/apisix/admin/routes/changed", {"uri": "/changed", "plugins": plugins})

    status, _, body = fronted.call("POST", "/changed", fronted.new_key(name="any"), {**ASK, "stream": True})

    assert (status, wanted in body) == (200, True)


def test_a_poured_reply_that_ended_before_anybody_looked_is_there_and_has_an_end() -> None:
    async def pour(sink: Sink) -> None:
        sink.write(b"all")

    async def read() -> list[bytes | None]:
        stream = _response(Reply(200, [], pour=pour)).body
        assert not isinstance(stream, bytes)
        await asyncio.sleep(0.01)
        return [await asyncio.wait_for(stream.next_chunk(), 20) for _ in range(3)]

    assert asyncio.run(read()) == [b"all", None, None]


def test_a_call_is_found_by_the_gate_s_id_where_a_plugin_gives_another(
    fronted: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!"))
    plugins = {"proxy-rewrite": {"uri": "/v1/chat/completions"}, "request-id": {}}
    fronted.operator("PUT", "/apisix/admin/routes/named", {"uri": "/named", "plugins": plugins})

    _, headers, _ = fronted.call("POST", "/named", fronted.new_key(name="any"), ASK, x_request_id="mine")

    assert headers["x-request-id"] == "mine"
    assert fronted.event(headers["x-tollkeeper-request-id"])["outcome"] == "ok"

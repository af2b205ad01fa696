"""What a provider keeps is asked for where it was made: by id, after a restart too, whatever the strategy says."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.gate import running_gate
from kit.scripted import Connection, Request, Script, ScriptedUpstream, event_stream, json_answer
from kit.several import Several, failing, several

WEIGHTED = 'strategy = "weighted"\n[routing]\nallow_nodes = ["127.0.0.0/8"]'
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def _response(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "response", "status": "completed", "output": [], "usage": USAGE, **more}


def _keeper(name: str) -> Script:
    """A provider that makes responses, files and batches under ids of its own."""

    def script(request: Request, connection: Connection) -> bool | None:
        where = request.path.partition("/v1/")[2]
        if request.method == "POST" and where == "responses":
            body = request.json()
            made = _response(f"resp_{name}", conversation={"id": f"conv_{name}"})
            if not body.get("stream"):
                return json_answer(200, made)(request, connection)
            events = [
                {"type": "response.created", "response": {**made, "id": f"resp_{name}_streamed"}},
                {"type": "response.completed", "response": {**made, "id": f"resp_{name}_streamed"}},
            ]
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
            return event_stream(text.encode(), cut=7)(request, connection)
        if request.method == "POST" and where == "files":
            return json_answer(200, {"id": f"file-{name}", "object": "file"})(request, connection)
        if where.startswith("batches"):
            made = {"id": f"batch_{name}", "object": "batch", "output_file_id": f"file-{name}-out"}
            return json_answer(200, made)(request, connection)
        return json_answer(200, {"by": name, "object": "look"})(request, connection)

    return script


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """Three accounts, and a model that is spread over them by chance."""
    with several(tmp_path_factory.mktemp("three"), [_keeper(name) for name in "abc"], WEIGHTED) as all_:
        yield all_


def _post(running: Several, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    status, answered, data = running.gate.call("POST", path, running.key, body, **headers)
    return status, answered, data


def _by(running: Several, path: str) -> str:
    status, headers, body = running.gate.call("GET", path, running.key)
    assert status == 200, body
    return headers["x-tollkeeper-model"].partition("/")[0]


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_found_and_continued_where_it_was_made(three: Several, stream: bool) -> None:
    for account in "bca":
        _, headers, _ = _post(three, "/v1/responses", {"model": f"{account}/m", "input": "hi", "stream": stream})
        assert headers["x-tollkeeper-model"] == f"{account}/m"
    suffix = "_streamed" if stream else ""

    for account in "abc":
        name = f"resp_{account}{suffix}"
        assert _by(three, f"/v1/responses/{name}") == account
        assert _by(three, f"/v1/responses/{name}/input_items") == account
        for _ in range(4):
            body = {"model": "m", "input": "and?", "previous_response_id": name}
            assert _post(three, "/v1/responses", body)[1]["x-tollkeeper-model"] == f"{account}/m"
    for conversation in ("conv_b", {"id": "conv_b"}):
        for _ in range(4):
            body = {"model": "m", "input": "x", "conversation": conversation}
            assert _post(three, "/v1/responses", body)[1]["x-tollkeeper-model"] == "b/m"


def test_files_and_batches_stay_with_their_account(three: Several) -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n{}\r\n--x--\r\n'
    _post(three, "/v1/files", form, content_type="multipart/form-data; boundary=x", x_tollkeeper_provider="c")

    assert _by(three, "/v1/files/file-c") == "c"
    assert _by(three, "/v1/files/file-c/content") == "c"
    made = _post(three, "/v1/batches", {"input_file_id": "file-c", "endpoint": "/v1/chat/completions"})
    assert made[1]["x-tollkeeper-model"] == "c"
    assert _by(three, "/v1/batches/batch_c") == "c"
    assert _by(three, "/v1/files/file-c-out/content") == "c"


def test_a_message_that_names_a_file_goes_where_the_file_is(three: Several) -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n{}\r\n--x--\r\n'
    _post(three, "/v1/files", form, content_type="multipart/form-data; boundary=x", x_tollkeeper_provider="b")
    chat = {"model": "m", "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-b"}}]}]}
    response = {"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-b"}]}]}
    quoted = {"model": "m", "messages": [{"role": "user", "content": 'What is {"file_id": "file-b"}?'}]}

    for _ in range(6):
        assert _post(three, "/v1/responses", response)[1]["x-tollkeeper-model"] == "b/m"
        assert _post(three, "/v1/chat/completions", chat)[1]["x-tollkeeper-model"] == "b/m"
    went = {_post(three, "/v1/chat/completions", quoted)[1]["x-tollkeeper-model"] for _ in range(30)}
    assert len(went) > 1, "who only writes about a file is bound to nothing"
    status, _, body = _post(three, "/v1/chat/completions", {**chat, "model": "a/m"})
    assert status == 400
    assert b"file-b" in body


def test_a_route_with_a_provider_of_its_own_is_not_asked_whose_a_file_is(three: Several) -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n{}\r\n--x--\r\n'
    _post(three, "/v1/files", form, content_type="multipart/form-data; boundary=x", x_tollkeeper_provider="b")
    own = {"provider": "openai-compatible", "auth": {"header": {"authorization": "Bearer sk-route"}}}
    own |= {"override": {"endpoint": f"{three.upstreams[2].url}/chat/completions"}}
    route = {"uri": "/files/chat", "plugins": {"ai-proxy": own}}
    assert three.gate.operator("PUT", "/apisix/admin/routes/own", route)[0] in (200, 201)
    part = {"type": "file", "file": {"file_id": "file-b"}}

    for _ in range(200):  # a route is in force within a moment
        status, _, body = _post(three, "/files/chat", {"model": "x", "messages": [{"role": "user", "content": [part]}]})
        if status != 404:
            break
        time.sleep(0.1)

    assert (status, b'"by": "c"' in body) == (200, True)


def test_an_answer_too_long_to_be_kept_is_remembered_by_its_beginning(three: Several) -> None:
    picture = [{"type": "image_generation_call", "id": "ig_1", "result": "A" * 5_000_000}]
    three.upstreams[2].script = json_answer(200, _response("resp_painted", output=picture))
    _post(three, "/v1/responses", {"model": "c/m", "input": "paint"})
    three.upstreams[2].script = _keeper("c")

    assert _by(three, "/v1/responses/resp_painted") == "c"


def test_what_nobody_knows_goes_where_it_went(three: Several) -> None:
    assert _by(three, "/v1/files/file-unknown") == "a"
    _, headers, _ = three.gate.call("GET", "/v1/files/file-c", three.key, x_tollkeeper_provider="b")
    assert headers["x-tollkeeper-model"] == "b", "who names a provider gets it"


def test_what_is_not_kept_is_not_remembered(three: Several) -> None:
    three.upstreams[1].script = json_answer(200, _response("resp_gone"))
    _post(three, "/v1/responses", {"model": "b/m", "input": "hi", "store": False})
    three.upstreams[1].script = _keeper("b")

    assert _by(three, "/v1/responses/resp_gone") == "a"


def test_ids_are_found_after_a_crash_and_a_bound_call_goes_nowhere_else(tmp_path: Path) -> None:
    with several(tmp_path, [_keeper("a"), _keeper("b")]) as running:
        _post(running, "/v1/responses", {"model": "b/m", "input": "hi"})
        running.gate.events_once(1)
        time.sleep(0.05)
        running.gate.stop(9)
        running.gate.start()

        assert _by(running, "/v1/responses/resp_b") == "b"
        running.upstreams[1].script = failing(500)
        body = {"model": "m", "input": "and?", "previous_response_id": "resp_b"}
        status, headers, _ = _post(running, "/v1/responses", body)
        assert (status, headers["x-tollkeeper-model"], headers["x-tollkeeper-attempts"]) == (500, "b/m", "3")
        assert running.counts()[0] == 0

        running.reconfigure('targets = ["a/m", "b/m"]', 'targets = ["a/m"]')
        status, _, data = _post(running, "/v1/responses", body)
        assert (status, json.loads(data)["error"]["code"]) == (400, "invalid_value")
        config = running.gate.config.read_text("utf-8")
        running.reconfigure(
            config[config.index("[providers.b]") : config.index("[retry]")], "[providers.c]\nkind = 'vllm'\n"
        )
        status, _, data = running.gate.call("GET", "/v1/responses/resp_b", running.key)
        assert (status, json.loads(data)["error"]["code"]) == (404, "provider_not_found")


def _batcher(name: str) -> Script:
    """Anthropic, as far as batches go."""

    def script(request: Request, connection: Connection) -> bool | None:
        made = {"id": f"msgbatch_{name}", "type": "message_batch", "processing_status": "in_progress"}
        return json_answer(200, made)(request, connection)

    return script


def _batch(*models: str) -> dict[str, Any]:
    params = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return {"requests": [{"custom_id": str(at), "params": {**params, "model": m}} for at, m in enumerate(models)]}


def test_batches_of_messages_go_to_the_account_that_has_their_models_and_stay_there(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        upstreams = {name: stack.enter_context(ScriptedUpstream(_batcher(name))) for name in ("gpt", "one", "two")}
        config = "".join(
            f'[providers.{name}]\nkind = "{"openai" if name == "gpt" else "anthropic"}"\nbase_url = "{upstream.url}"\n'
            f'api_key = "k"\n[models.of-{name}]\ntargets = ["{name}/of-{name}"]\n'
            for name, upstream in upstreams.items()
        )
        gate = stack.enter_context(running_gate(tmp_path, config + '[models.short]\ntargets = ["two/long"]\n'))
        key = gate.new_key()
        version = {"anthropic_version": "2023-06-01"}

        def call(method: str, path: str, body: object = None) -> tuple[int, str | None, Any]:
            status, headers, data = gate.call(method, path, key, body, **version)
            assert headers["request-id"] == headers["x-request-id"]
            return status, headers.get("x-tollkeeper-model"), json.loads(data)

        for name in ("two", "one"):
            assert call("POST", "/v1/messages/batches", _batch(f"of-{name}", f"of-{name}"))[:2] == (200, name)
        for name in ("one", "two", "one"):
            assert call("GET", f"/v1/messages/batches/msgbatch_{name}/results")[:2] == (200, name)
            assert call("POST", f"/v1/messages/batches/msgbatch_{name}/cancel")[:2] == (200, name)
        assert call("GET", "/v1/messages/batches")[:2] == (200, "one"), "the first that has such a path"
        for models, said in (
            (("of-one", "of-two"), "different providers"),
            (("short",), "ask for 'long'"),
            (("of-gpt",), "nothing at /messages/batches"),
            (("unheard-of",), "unheard-of"),
        ):
            status, _, body = call("POST", "/v1/messages/batches", _batch(*models))
            assert (status in (400, 404), body["type"], said in body["error"]["message"]) == (True, "error", True), body
        assert call("POST", "/v1/messages/batches", {"requests": 5})[:2] == (200, "one"), (
            "its provider says what is wrong"
        )
        assert upstreams["gpt"].requests == []

        mine, key = key, gate.new_key(name="stranger")
        for method, path in (("GET", "/results"), ("POST", "/cancel"), ("GET", "")):
            status, account, body = call(method, f"/v1/messages/batches/msgbatch_one{path}")
            assert (status, account, body["error"]["type"]) == (404, None, "not_found_error"), body
        pages = {
            "": {
                "data": [{"id": "msgbatch_one"}],
                "has_more": True,
                "first_id": "msgbatch_one",
                "last_id": "msgbatch_one",
            },
            "after_id=msgbatch_one": {
                "data": [{"id": "msgbatch_old"}],
                "has_more": False,
                "first_id": "x",
                "last_id": "x",
            },
        }
        upstreams["one"].script = lambda request, connection: json_answer(200, pages[request.path.partition("?")[2]])(
            request, connection
        )
        assert call("GET", "/v1/messages/batches") == (200, "one", pages["after_id=msgbatch_one"])
        key = mine
        assert call("GET", "/v1/messages/batches") == (200, "one", pages[""])

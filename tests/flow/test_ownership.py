"""What one tenant has made at a provider is not there for another: by no way of naming it, in no list, after no crash."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from kit.gate import GateProcess, running_gate
from kit.keeper import Keeper
from kit.scripted import ScriptedUpstream

FORM = b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n{}\r\n--x--\r\n'
CONFIG = """
[providers.one]
kind = "openai"
base_url = "%s"
api_key = "sk-one"
[models.m]
targets = ["one/m"]
price = { input = 1, output = 2 }
"""


class Scene:
    """A gate before one account, and keys: two of a team, one of another, one of nobody."""

    def __init__(self, gate: GateProcess, upstream: ScriptedUpstream, keeper: Keeper) -> None:
        self.gate, self.upstream, self.keeper = gate, upstream, keeper
        self.red = gate.new_key(name="red", team="red")
        self.red_too = gate.new_key(name="red-too", team="red", owner="ada")
        self.blue = gate.new_key(name="blue", team="blue")
        self.alone = gate.new_key(name="alone")

    def call(self, key: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, JSON)."""
        status, _, data = self.gate.call(method, path, key, body, **headers)
        return status, json.loads(data) if data.startswith((b"{", b"[")) else data

    def made(self, key: str, path: str, body: Any = None, **more: Any) -> str:
        """The id of what a call makes."""
        if path == "/v1/files":
            status, answer = self.call(key, "POST", path, FORM, content_type="multipart/form-data; boundary=x")
        else:
            status, answer = self.call(key, "POST", path, body if body is not None else more)
        assert status == 200, answer
        if isinstance(answer, bytes):
            return str(json.loads(answer.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"])
        return str(answer["id"])

    def refused(self, key: str, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The error of a 404 for which nothing was sent."""
        before = len(self.upstream.requests)
        status, answer = self.call(key, method, path, body, **headers)
        assert (status, len(self.upstream.requests) - before) == (404, 0), answer
        error: dict[str, Any] = answer["error"]
        return error

    def listed(self, key: str, path: str) -> list[str]:
        status, answer = self.call(key, "GET", path)
        assert status == 200, answer
        return [each["id"] for each in answer["data"]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    keeper = Keeper("a")
    with (
        ScriptedUpstream(keeper) as upstream,
        running_gate(tmp_path_factory.mktemp("own"), CONFIG % upstream.url + "[ownership]\npages = 3\n") as gate,
    ):
        yield Scene(gate, upstream, keeper)


@pytest.fixture(autouse=True)
def small_pages(scene: Scene) -> None:
    scene.keeper.page = 20


def _ask(**more: Any) -> dict[str, Any]:
    return {"model": "m", "input": "hi", **more}


@pytest.mark.row(53)
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_its_teams_and_no_one_elses(scene: Scene, stream: bool) -> None:
    name = scene.made(scene.red, "/v1/responses", _ask(stream=stream))

    for key in (scene.red, scene.red_too):
        assert scene.call(key, "GET", f"/v1/responses/{name}")[0] == 200
        assert scene.call(key, "POST", "/v1/responses", _ask(previous_response_id=name))[0] == 200
    for key in (scene.blue, scene.alone):
        for method, path in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
            assert scene.refused(key, method, f"/v1/responses/{name}{path}")["code"] == "object_not_found"
        error = scene.refused(key, "POST", "/v1/responses", _ask(previous_response_id=name, stream=stream))
        assert error["code"] == "previous_response_not_found"
        assert name in error["message"]
    asked = [event for event in scene.gate.events() if event["error_code"] and event["key_id"] != ""]
    assert not [event for event in asked if event["error_code"].endswith("not_found")], "nothing was held or charged"


def test_a_file_is_named_in_vain_by_whoever_did_not_make_it(scene: Scene) -> None:
    file = scene.made(scene.red, "/v1/files")
    part = {"type": "file", "file": {"file_id": file}}
    chat = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    hidden = json.dumps(chat).replace('"file_id"', '"file\\u005fid"').encode()
    twice = json.dumps(chat).replace('"file_id": ', '"file_id": "file-other", "file_id": ').encode()
    twice_more = json.dumps(chat).replace(f'"file_id": "{file}"', f'"file_id": "{file}", "file_id": "f"').encode()
    escaped = json.dumps(chat).replace(file, file.replace("-", "\\u002d")).encode()
    search = {"type": "file_search", "vector_store_ids": ["vs_none", file]}
    bodies: list[tuple[str, Any]] = [
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", hidden),
        ("/v1/chat/completions", escaped),
        ("/v1/chat/completions", twice),
        ("/v1/chat/completions", twice_more),
        ("/v1/responses", _ask(input=[{"role": "user", "content": [{"type": "input_file", "file_id": file}]}])),
        ("/v1/responses", _ask(tools=[search])),
        (
            "/v1/responses",
            _ask(tools=[{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file]}}]),
        ),
        ("/v1/batches", {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
        ("/v1/fine_tuning/jobs", {"training_file": file, "model": "m"}),
        ("/v1/vector_stores", {"file_ids": [file]}),
        ("/v1/evals/runs", {"data_source": {"source": {"type": "file_id", "id": file}}}),
    ]
    for path, body in bodies:
        assert file in scene.refused(scene.blue, "POST", path, body)["message"], (path, body)
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        disguised = b" \n" + json.dumps({"input_file_id": file}).encode()
        assert file in scene.refused(scene.blue, "POST", "/v1/batches", disguised, content_type=kind)["message"]
    for path in (
        f"files/{file}",
        f"files/{file}/content",
        f"files/file%2D{file[5:]}",
        f"files%2F{file}",
        f"engines/m/files/{file}",
    ):
        scene.refused(scene.blue, "GET", f"/v1/{path}")
    assert scene.refused(scene.blue, "GET", f"/v1/files?after={file}")["code"] == "object_not_found"
    assert (
        scene.refused(scene.blue, "GET", f"/v1/files/{file}", x_tollkeeper_provider="one")["code"] == "file_not_found"
    )
    status, answer = scene.call(scene.blue, "GET", f"/v1/files/{file}", x_tollkeeper_dry_run="1")
    assert (status, answer["refusal"]["body"]["error"]["code"]) == (200, "file_not_found")

    assert scene.call(scene.red_too, "POST", *bodies[0])[0] == 200
    said = {"model": "m", "messages": [{"role": "user", "content": f'What is "file_id": "{file}"?'}]}
    assert scene.call(scene.blue, "POST", "/v1/chat/completions", said)[0] == 200, "it is only spoken of"


def test_batches_keep_their_outputs_to_their_makers(scene: Scene) -> None:
    file = scene.made(scene.red, "/v1/files")
    batch = scene.made(scene.red, "/v1/batches", input_file_id=file, endpoint="/v1/responses")
    output = scene.keeper.kept[batch]["output_file_id"]

    error = scene.refused(scene.blue, "GET", f"/v1/batches/{batch}")
    assert (error["code"], error["type"]) == ("batch_not_found", "invalid_request_error")
    scene.refused(scene.blue, "POST", f"/v1/batches/{batch}/cancel")
    scene.refused(scene.blue, "GET", f"/v1/files/{output}/content")
    assert scene.call(scene.red_too, "GET", f"/v1/files/{output}/content")[0] == 200
    upload = scene.made(scene.red, "/v1/uploads", filename="f")
    _, completed = scene.call(scene.red_too, "POST", f"/v1/uploads/{upload}/complete", {})
    scene.refused(scene.blue, "GET", f"/v1/files/{completed['file']['id']}")


def test_a_batchs_lines_name_no_files_of_others(scene: Scene) -> None:
    file = scene.made(scene.red, "/v1/files")
    row = b'{"custom_id":"1","body":{"input":[{"content":[{"type":"input_file","file_id":"%b"}]}]}}' % file.encode()
    purpose = b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    form = FORM.replace(b"{}", row * 20_000).replace(b"--x--", purpose + b"--x--")
    kept = len(scene.keeper.kept)

    status, answer = scene.call(scene.blue, "POST", "/v1/files", form, content_type="multipart/form-data; boundary=x")
    assert (status, answer["error"]["code"], len(scene.keeper.kept)) == (404, "object_not_found", kept)
    kind = "multipart/form-data; boundary=x"
    assert scene.call(scene.red_too, "POST", "/v1/files", form, content_type=kind)[0] == 200


def test_a_chat_completion_that_is_stored_is_its_makers(scene: Scene) -> None:
    ask = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "store": True}
    whole = scene.made(scene.alone, "/v1/chat/completions", ask)
    _, streamed = scene.call(scene.alone, "POST", "/v1/chat/completions", {**ask, "stream": True})
    other = json.loads(streamed.partition(b"data: ")[2].partition(b"\n")[0])["id"]

    for name in (whole, other):
        assert scene.call(scene.alone, "GET", f"/v1/chat/completions/{name}")[0] == 200
        scene.refused(scene.red, "GET", f"/v1/chat/completions/{name}")
    assert whole not in scene.listed(scene.red, "/v1/chat/completions")
    assert whole in scene.listed(scene.alone, "/v1/chat/completions")


def test_lists_show_each_its_own_and_what_nobody_is_known_to_have_made(scene: Scene) -> None:
    old = scene.keeper.add("files", purpose="user_data")["id"]
    result = scene.keeper.add("files", purpose="fine-tune-results")["id"]
    mine, theirs = scene.made(scene.blue, "/v1/files"), scene.made(scene.red, "/v1/files")

    red, blue = scene.listed(scene.red, "/v1/files?limit=100"), scene.listed(scene.blue, "/v1/files?limit=100")
    assert (mine in red, theirs in red, old in red) == (False, True, True)
    assert (mine in blue, theirs in blue, old in blue) == (True, False, True)
    assert result not in red + blue, "made by the provider for somebody: nobody knows for whom"
    assert scene.call(scene.blue, "GET", f"/v1/files/{old}")[0] == 200, "what nobody is known to have made passes"


def test_a_list_is_gone_through_until_there_is_something_of_ones_own(scene: Scene) -> None:
    scene.keeper.kept.clear()
    scene.keeper.page = 2
    stores = [scene.made(scene.blue, "/v1/vector_stores", name=str(n)) for n in range(2)]
    others = [scene.made(scene.red, "/v1/vector_stores", name=str(n)) for n in range(4)]
    before = len(scene.upstream.requests)

    status, headers, body = scene.gate.call("GET", "/v1/vector_stores?limit=1", scene.blue)
    page = json.loads(body)
    assert (status, [each["id"] for each in page["data"]]) == (200, [stores[1]])
    assert (page["first_id"], page["last_id"], page["has_more"]) == (stores[1], stores[1], True)
    asked = [request.path.partition("?")[2] for request in scene.upstream.requests[before:]]
    assert asked == ["limit=1", *(f"after={others[at]}&limit=100" for at in (3, 1))]
    assert headers["x-tollkeeper-attempts"] == "3"
    assert scene.listed(scene.blue, f"/v1/vector_stores?after={stores[1]}") == [stores[0]]
    _, page = scene.call(scene.red, "GET", "/v1/vector_stores")
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([others[3], others[2]], True)

    for number in range(4):
        scene.made(scene.red, "/v1/vector_stores", name=str(number))
    status, answer = scene.call(scene.blue, "GET", "/v1/vector_stores")
    assert (status, answer["error"]["code"]) == (400, "list_too_long")
    status, answer = scene.call(scene.alone, "GET", "/v1/batches")
    assert (status, answer["data"], answer["last_id"], answer["has_more"]) == (200, [], None, False)


def test_openais_own_client_pages_through_what_is_its_own(scene: Scene) -> None:
    scene.keeper.kept.clear()
    own = []
    for _ in range(4):
        own.append(scene.made(scene.blue, "/v1/vector_stores", name="x"))
        for _ in range(3):
            scene.made(scene.red, "/v1/vector_stores", name="x")
    with openai.OpenAI(base_url=f"{scene.gate.url}/v1", api_key=scene.blue, max_retries=0) as client:
        assert [each.id for each in client.vector_stores.list(limit=1)] == own[::-1]
        assert [each.id for each in client.vector_stores.list(limit=5)] == own[::-1]
        with pytest.raises(openai.NotFoundError):
            client.vector_stores.retrieve(next(name for name in scene.keeper.kept if name not in own))


def test_a_list_without_anything_of_others_comes_as_it_came(scene: Scene) -> None:
    scene.keeper.kept.clear()
    scene.made(scene.red, "/v1/vector_stores", name="x")
    expected = json.dumps(scene.keeper._list("vector_stores", {})).encode()
    status, headers, body = scene.gate.call("GET", "/v1/vector_stores", scene.red)
    assert (status, body, headers["content-length"]) == (200, expected, str(len(expected)))


def test_who_looks_at_a_thing_does_not_become_its_maker(scene: Scene) -> None:
    batch = scene.keeper.add("batches", output_file_id="file-early")["id"]
    for key in (scene.red, scene.blue):
        assert scene.call(key, "GET", f"/v1/batches/{batch}")[0] == 200
        assert scene.call(key, "POST", f"/v1/batches/{batch}/cancel", {})[0] == 200
    assert scene.call(scene.blue, "POST", "/v1/responses", _ask(conversation="conv_old1"))[0] == 200
    assert scene.call(scene.red, "POST", "/v1/responses", _ask(conversation={"id": "conv_old1"}))[0] == 200


def test_a_rotated_key_and_one_that_changes_its_team_keep_what_they_made(scene: Scene) -> None:
    secret = scene.gate.new_key(name="mover")
    name = scene.made(secret, "/v1/conversations", metadata={})
    _, _, body = scene.gate.operator("POST", "/api/keys/mover/rotate")
    secret = json.loads(body)["key"]
    assert scene.call(secret, "GET", f"/v1/conversations/{name}")[0] == 200
    assert scene.gate.operator("PATCH", "/api/keys/mover", {"team": "green"})[0] == 200
    assert scene.call(secret, "GET", f"/v1/conversations/{name}")[0] == 200
    scene.refused(scene.red, "GET", f"/v1/conversations/{name}")


def test_what_is_made_is_known_after_a_crash_and_when_another_account_comes(tmp_path: Path) -> None:
    first, second = Keeper("a"), Keeper("b")
    with (
        ScriptedUpstream(first) as one,
        ScriptedUpstream(second) as two,
        running_gate(tmp_path, CONFIG % one.url) as gate,
    ):
        scene = Scene(gate, one, first)
        file = scene.made(scene.red, "/v1/files")
        response = scene.made(scene.red, "/v1/responses", _ask(stream=True))
        gate.events_once(2)
        gate.stop(signal.SIGKILL)
        config = gate.config.read_text("utf-8")
        extra = f'[providers.zero]\nkind = "openai"\nbase_url = "{two.url}"\napi_key = "sk-two"\n'
        gate.config.write_text(extra + config.replace('"one/m"', '"zero/m", "one/m"'), "utf-8")
        gate.start()

        scene.refused(scene.blue, "GET", f"/v1/files/{file}")
        scene.refused(scene.blue, "POST", "/v1/responses", _ask(previous_response_id=response))
        for path in (f"files/{file}", f"responses/{response}"):
            status, headers, _ = gate.call("GET", f"/v1/{path}", scene.red)
            assert (status, headers["x-tollkeeper-model"]) == (200, "one")
        status, headers, _ = gate.call("POST", "/v1/responses", scene.red, _ask(previous_response_id=response))
        assert (status, headers["x-tollkeeper-model"]) == (200, "one/m")


def test_what_is_unknown_can_be_refused_and_a_provider_shared(tmp_path: Path) -> None:
    keeper = Keeper("a")
    refuse = '[ownership]\nunknown = "refuse"\n'
    with ScriptedUpstream(keeper) as upstream, running_gate(tmp_path, CONFIG % upstream.url + refuse) as gate:
        scene = Scene(gate, upstream, keeper)
        old = keeper.add("files", purpose="user_data")["id"]
        part = {"type": "file", "file": {"file_id": old}}

        scene.refused(scene.red, "GET", f"/v1/files/{old}")
        scene.refused(scene.red, "POST", "/v1/responses", _ask(previous_response_id="resp_old1"))
        chat = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
        scene.refused(scene.red, "POST", "/v1/chat/completions", chat)
        assert scene.listed(scene.red, "/v1/files") == []
        own = scene.made(scene.red, "/v1/files")
        assert scene.listed(scene.red, "/v1/files") == [own]
        assert scene.call(scene.red, "GET", f"/v1/files/{own}/content")[0] == 200
        batch = scene.made(scene.red, "/v1/batches", input_file_id=own)
        assert scene.call(scene.red, "GET", f"/v1/files/{keeper.kept[batch]['output_file_id']}")[0] == 200

        loaded = gate.log().count("config_loaded")
        config = gate.config.read_text("utf-8").replace('api_key = "sk-one"', 'api_key = "sk-one"\nshared = true')
        gate.config.write_text(config, "utf-8")
        until = time.monotonic() + 30
        while gate.log().count("config_loaded") == loaded and time.monotonic() < until:
            time.sleep(0.02)
        assert scene.call(scene.blue, "GET", f"/v1/files/{own}")[0] == 200
        assert scene.call(scene.blue, "GET", f"/v1/files/{old}")[0] == 200
        assert {own, old} <= set(scene.listed(scene.blue, "/v1/files"))

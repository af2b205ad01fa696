"""A key that is limited to certain models: what is outside its list does not exist, by whatever path and body."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream

CONFIG = """
[providers.openai]
base_url = "{url}"
api_key = "sk-x"
[models."house/mini"]
targets = ["openai/gpt-4o-mini"]
"""
FORM = (
    b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\n%b\r\n'
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\naudio\r\n--x--\r\n'
)


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(scope="module")
def limited(gate: GateProcess) -> str:
    """A key for one configured name, one of the provider's and one beginning."""
    return gate.new_key(name="limited", models=["house/mini", "gpt-4.1", "openai/o*"])


def _ask(
    gate: GateProcess, key: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, str | None]:
    status, _, answer = gate.call(method, path, key, body, **headers)
    return status, None if status == 200 else json.loads(answer)["error"]["code"]


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        ("house/mini", True),
        ("gpt-4.1", True),
        ("openai/o1", True),
        ("openai/o", True),
        ("openai/omni-moderation-latest", True),
        ("gpt-4.1-mini", False),
        ("gpt-4", False),
        ("GPT-4.1", False),
        (" gpt-4.1", False),
        ("openai/gpt-4.1", False),  # the same model by another name is another name
        ("gpt-4o-mini", False),
        ("openai/", False),
        ("o1", False),
        ("*", False),
        ("house/*", False),
    ],
)
def test_only_what_is_on_the_list_exists(
    gate: GateProcess, upstream: ScriptedUpstream, limited: str, model: str, allowed: bool
) -> None:
    before = len(upstream.requests)

    answer = _ask(gate, limited, "POST", "/v1/chat/completions", {"model": model, "messages": []})

    assert answer == ((200, None) if allowed else (404, "model_not_found"))
    assert len(upstream.requests) - before == allowed


def test_a_model_that_is_forbidden_is_answered_as_one_that_is_not_there(gate: GateProcess, limited: str) -> None:
    def answer(model: str) -> bytes:
        return gate.call("POST", "/v1/chat/completions", limited, {"model": model, "messages": []})[2]

    assert answer("gpt-4o").replace(b"gpt-4o", b"MODEL") == answer("no-such").replace(b"no-such", b"MODEL")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/files", None),
        ("GET", "/v1/files", {"model": "gpt-4.1"}),
        ("DELETE", "/v1/files/file-1", {"model": "gpt-4.1"}),
        ("GET", "/v1/responses/resp_1", {"model": "gpt-4.1"}),
        ("POST", "/v1/responses/resp_1/cancel", {"model": "gpt-4.1"}),
        ("GET", "/v1/chat/completions", {"model": "gpt-4.1"}),
        ("POST", "/v1/batches", {"input_file_id": "file-1"}),
        ("POST", "/v1/batches", {"input_file_id": "file-1", "model": "gpt-4.1"}),
        ("POST", "/v1/engines/gpt-4.1/batches", {"input_file_id": "file-1"}),
        ("GET", "/v1/engines/gpt-4.1/files", None),
        ("POST", "/v1/moderations", {"input": "x"}),
        ("POST", "/v1/responses", {"prompt": {"id": "pmpt_1"}}),
        ("POST", "/v1/conversations", {}),
        ("POST", "/v1/anything/new", {"data": 1}),
    ],
)
def test_a_path_whose_model_cannot_be_known_is_closed(
    gate: GateProcess, upstream: ScriptedUpstream, limited: str, method: str, path: str, body: Any
) -> None:
    before = len(upstream.requests)

    assert _ask(gate, limited, method, path, body) == (403, "model_required")
    assert len(upstream.requests) == before


def test_such_paths_are_open_to_a_key_without_a_list(gate: GateProcess, key: str) -> None:
    for method, path, body in [("GET", "/v1/files", None), ("POST", "/v1/batches", {"input_file_id": "file-1"})]:
        assert _ask(gate, key, method, path, body) == (200, None)


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/responses", "/v1/completions", "/v1/anything/new", "/v1/rerank"]
)
def test_the_list_holds_on_every_path_that_names_a_model(gate: GateProcess, limited: str, path: str) -> None:
    assert _ask(gate, limited, "POST", path, {"model": "gpt-4.1", "input": "x"}) == (200, None)
    assert _ask(gate, limited, "POST", path, {"model": "gpt-4o", "input": "x"}) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/v1/engines/{}/chat/completions", "/openai/deployments/{}/chat/completions"])
def test_a_model_in_the_path_is_the_one_that_counts_and_the_one_that_is_sent(
    gate: GateProcess, upstream: ScriptedUpstream, limited: str, path: str
) -> None:
    for body in ({"messages": []}, {"model": "gpt-4o", "messages": []}, {"model": 5, "messages": []}):
        assert _ask(gate, limited, "POST", path.format("gpt-4.1"), body) == (200, None)
        assert upstream.requests[-1].json()["model"] == "gpt-4.1"
        assert _ask(gate, limited, "POST", path.format("gpt-4o"), {**body, "model": "gpt-4.1"})[0] == 404


@pytest.mark.parametrize(("asked", "status"), [(b"gpt-4.1", 200), (b"gpt-4o", 404)])
def test_the_list_holds_for_forms(gate: GateProcess, limited: str, asked: bytes, status: int) -> None:
    kind = "multipart/form-data; boundary=x"

    assert _ask(gate, limited, "POST", "/v1/audio/transcriptions", FORM % asked, content_type=kind)[0] == status


def test_a_form_cannot_name_another_model_than_its_path(
    gate: GateProcess, upstream: ScriptedUpstream, limited: str
) -> None:
    path, kind = "/v1/deployments/gpt-4.1/audio/transcriptions", "multipart/form-data; boundary=x"

    assert _ask(gate, limited, "POST", path, FORM % b"gpt-4o", content_type=kind) == (200, None)
    assert upstream.requests[-1].body == FORM % b"gpt-4.1"


def test_the_provider_asked_for_by_header_opens_nothing(gate: GateProcess, limited: str) -> None:
    for header in ("openai", "nobody"):
        answer = _ask(gate, limited, "GET", "/v1/files", x_tollkeeper_provider=header)
        assert answer == (403, "model_required")


def test_the_own_bytes_of_a_body_that_names_its_model_in_another_spelling_stay(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    body = b'{ "messages":[], "\\u006dodel" : "gpt\\u002d4.1" }'

    assert _ask(gate, key, "POST", "/v1/chat/completions", body, content_type="application/json") == (200, None)
    assert upstream.requests[-1].body == body

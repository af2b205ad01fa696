"""Where providers' settings lead: the URL, headers and body that a call has in the end; without a gate."""

import json
from typing import Any

import pytest

from tollkeeper.core.account import Target
from tollkeeper.core.call import Call, Presence
from tollkeeper.core.keys import Key
from tollkeeper.dialects.paths import endpoint
from tollkeeper.flow.passage import needed, passage
from tollkeeper.flow.render import Outgoing, amended, render
from tollkeeper.routes import model_instances
from tollkeeper.wire import json_text

CHAT = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
BEARER = {"header": {"Authorization": "Bearer sk-1"}}
VERTEX = {"project_id": "p1", "region": "europe-west1"}


def target(provider: str, token: str | None = None, **more: Any) -> Target:
    instance = {"provider": provider, "auth": BEARER, "options": {"model": "m"}, **more}
    model_instances.check(instance)
    return model_instances.target("one", instance, model_instances.patience({"timeout": 1000}), token)


def sent(to: Target, path: str = "chat/completions", asked: dict[str, Any] = CHAT) -> Outgoing:
    body = json.dumps(asked).encode()
    found = endpoint(path, "POST")
    call = Call(
        request_id="1",
        key=Key(id="k", name="k", shown="", digest=b"", created_at=0),
        dialect=found.dialect,
        method="POST",
        path=found.path,
        query=b"",
        headers=[],
        body=body,
        model="asked",
        streamed=False,
        accepted_at=0.0,
        presence=Presence(),
        members=json_text.members(body),
    )
    return render(amended(passage(call, to, 0.0).call if needed(call, to) else call, to), to)


@pytest.mark.parametrize(
    ("provider", "more", "url", "header"),
    [
        ("openai", {}, "https://api.openai.com/v1/chat/completions", "authorization"),
        ("deepseek", {}, "https://api.deepseek.com/chat/completions", "authorization"),
        ("aimlapi", {}, "https://api.aimlapi.com/v1/chat/completions", "authorization"),
        ("openrouter", {}, "https://openrouter.ai/api/v1/chat/completions", "authorization"),
        ("gemini", {}, "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", "authorization"),
        ("anthropic", {}, "https://api.anthropic.com/v1/messages", "x-api-key"),
        (
            "vertex-ai",
            {"provider_conf": VERTEX},
            "https://europe-west1-aiplatform.googleapis.com/v1beta1/projects/p1/locations/europe-west1"
            "/endpoints/openapi/chat/completions",
            "authorization",
        ),
        (
            "azure-openai",
            {"override": {"endpoint": "https://me.openai.azure.com"}},
            "node+https://me.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
            "authorization",
        ),
        (
            "openai-compatible",
            {"override": {"endpoint": "http://host:8000/v1/messages"}},
            "node+http://host:8000/v1/messages",
            "authorization",
        ),
    ],
)
def test_each_provider_is_where_its_settings_say(provider: str, more: dict[str, Any], url: str, header: str) -> None:
    outgoing = sent(target(provider, **more))
    assert outgoing.url == url
    key = b"sk-1" if header == "x-api-key" else b"Bearer sk-1"
    assert (header.encode(), key) in outgoing.headers
    assert isinstance(outgoing.body, bytes)
    assert json.loads(outgoing.body)["model"] == "m"


def test_a_token_of_googles_takes_the_place_of_a_key() -> None:
    account = json.dumps({"client_email": "a", "private_key": "b"})
    outgoing = sent(target("gemini", "tok", auth={"gcp": {"service_account_json": account}}))
    assert (b"authorization", b"Bearer tok") in outgoing.headers


def test_output_is_limited_by_the_name_that_each_dialect_has_for_it() -> None:
    override = {"llm_options": {"max_tokens": 5}}
    for path, name, asked in (
        ("chat/completions", "max_tokens", CHAT),
        ("responses", "max_output_tokens", {"model": "asked", "input": "hi"}),
    ):
        outgoing = sent(target("openai", override=override), path, asked)
        assert isinstance(outgoing.body, bytes)
        assert json.loads(outgoing.body)[name] == 5
    outgoing = sent(target("openai", override=override), "embeddings", {"model": "asked", "input": "hi"})
    assert isinstance(outgoing.body, bytes)
    assert set(json.loads(outgoing.body)) == {"model", "input"}

"""GET /v1/models: what this key may ask for, from the config and from providers, whatever providers answer."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.gate import GateProcess, running_gate
from kit.outbound import answered, http_client, raw
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from tollkeeper.core.account import Account
from tollkeeper.core.keys import Key
from tollkeeper.flow.catalog import Catalog
from tollkeeper.flow.routing import Routing
from tollkeeper.providers import PROVIDERS

ANYBODY = Key(id="key_1", name="n", shown="tk-", digest=b"", created_at=0)
CONFIG = """
[providers.openai]
base_url = "{url}"
api_key = "sk-provider-canary"
[providers.groq]
base_url = "{other}"
api_key = "gsk-x"
[providers.down]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key = "sk-y"
[providers.local]
kind = "vllm"
base_url = "{url}"
[models.house]
targets = ["local/qwen"]
[models."gpt-4o"]
targets = ["local/qwen"]
"""


def _models(*names: str) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 5, "owned_by": "them"} for name in names],
    }


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, _models("gpt-4.1", "o3", "other"))) as scripted:
        yield scripted


def _listed(gate: GateProcess, key: str, path: str = "/v1/models") -> list[str]:
    status, _, body = gate.call("GET", path, key)
    assert status == 200
    assert set(json.loads(body)) == {"object", "data"}
    return [model["id"] for model in json.loads(body)["data"]]


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_names_are_the_configured_ones_and_those_of_providers_without(tmp_path: Path, path: str) -> None:
    """Of a provider that a configured model uses nothing else is listed; its own names are bare, others have a prefix."""
    with (
        ScriptedUpstream(json_answer(200, _models("gpt-4.1", "o3"))) as first,
        ScriptedUpstream(json_answer(200, _models("llama", "openai/gpt-oss"))) as second,
        running_gate(
            tmp_path,
            CONFIG.format(url=first.url, other=second.url).replace('"local/qwen", "openai/gpt-4o"', '"local/qwen"'),
        ) as gate,
    ):
        everyone = gate.new_key()
        some = gate.new_key(models=["house", "groq/*", "gpt-4.1", "absent"])

        assert _listed(gate, everyone, path) == [
            "gpt-4.1",
            "gpt-4o",
            "groq/llama",
            "groq/openai/gpt-oss",
            "house",
            "o3",
        ]
        assert _listed(gate, some, path) == ["gpt-4.1", "groq/llama", "groq/openai/gpt-oss", "house"]
        assert _listed(gate, gate.new_key(models=[]), path) == []
        for name in _listed(gate, everyone, path):
            status, _, body = gate.call("POST", "/v1/embeddings", everyone, {"model": name, "input": "x"})
            assert b"model_not_found" not in body, (name, status)
        assert {request.headers["authorization"] for request in first.requests if request.method == "GET"} == {
            "Bearer sk-provider-canary"
        }
        assert len([request for request in first.requests if request.method == "GET"]) == 1
        assert len(gate.events_once(6)) == 6  # listing is no attempt


def test_one_model_is_shown_by_name_if_the_key_may_use_it(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with running_gate(tmp_path, f'[providers.openai]\nbase_url = "{upstream.url}"\napi_key = "sk-x"\n') as gate:
        key, limited = gate.new_key(), gate.new_key(models=["o*"])

        status, _, body = gate.call("GET", "/v1/models/gpt-4.1", key)
        assert (status, json.loads(body)) == (200, _models("gpt-4.1")["data"][0])
        assert _listed(gate, limited) == ["o3", "other"]  # the only provider's names are all bare
        for absent in ("gpt-4.1", "none", "o3/x"):
            status, _, body = gate.call("GET", f"/v1/models/{absent}", limited)
            assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")


def test_a_provider_whose_address_changed_is_asked_again(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    config = '[providers.openai]\nbase_url = "{url}"\napi_key = "sk-x"\n[log]\nformat = "json"\n'
    with (
        ScriptedUpstream(json_answer(200, _models("new"))) as second,
        running_gate(tmp_path, config.format(url=upstream.url)) as gate,
    ):
        key = gate.new_key()
        assert "gpt-4.1" in _listed(gate, key)
        gate.config.write_text(config.format(url=second.url), "utf-8")
        while "config_loaded" not in gate.log():
            threading.Event().wait(0.02)

        assert _listed(gate, key) == ["new"]


class Clock:
    """Monotonic seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _catalog(upstream: ScriptedUpstream, use: Callable[[Callable[[], list[str]], Clock], None]) -> None:
    """Gives `use` the listing of a gate with one provider, and the clock that it goes by."""
    clock = Clock()
    account = Account(name="openai", provider=msgspec.structs.replace(PROVIDERS["openai"], base_url=upstream.url))

    async def listing() -> None:
        async with http_client() as client:
            catalog = Catalog(lambda: Routing({}, {"openai": account}), client, clock)
            loop = asyncio.get_running_loop()

            def ask() -> list[str]:
                found = asyncio.run_coroutine_threadsafe(catalog(ANYBODY), loop).result(10)
                return [str(model["id"]) for model in found]

            await loop.run_in_executor(None, use, ask, clock)

    asyncio.run(listing())


def test_an_answer_is_kept_for_five_minutes_and_longer_while_there_is_no_other(upstream: ScriptedUpstream) -> None:
    def use(ask: Callable[[], list[str]], clock: Clock) -> None:
        first = ask()
        upstream.script = json_answer(200, _models("new"))
        clock.now += 299
        assert ask() == first
        assert len(upstream.requests) == 1
        upstream.script = raw(b"", "close")
        clock.now += 2
        assert ask() == first
        upstream.script = json_answer(200, _models("new"))
        assert ask() == ["new"]

    _catalog(upstream, use)


@pytest.mark.parametrize(
    "script",
    [
        raw(b"", "close"),
        raw(b"", "reset"),
        json_answer(500, {"error": "x"}),
        json_answer(401, _models("secret")),
        json_answer(200, b"not json"),
        json_answer(200, b"[" * 100_000),
        json_answer(200, b"null"),
        json_answer(200, {"data": 5}),
        json_answer(200, {"data": None}),
        json_answer(200, {"data": {"id": "x"}}),
        json_answer(200, {"data": [5, None, "x", {}, {"id": 7}, {"name": "x"}]}),
        raw(answered(b"", "location: /elsewhere", status="302 Found")),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n[]", "close"),
    ],
)
def test_a_provider_that_lists_nothing_sensible_is_left_out(
    upstream: ScriptedUpstream, script: Callable[[Request, Connection], bool | None]
) -> None:
    upstream.script = script

    _catalog(upstream, lambda ask, clock: _expect(ask(), []))


def test_a_list_longer_than_any_is_not_read_to_its_end(upstream: ScriptedUpstream) -> None:
    sent = [0]

    def endless(request: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")
        while connection.send(b"1," * 32768):
            sent[0] += 65536
        return False

    upstream.script = endless

    _catalog(upstream, lambda ask, clock: _expect(ask(), []))
    assert sent[0] < 40_000_000


def test_a_bare_list_is_taken_too_and_other_fields_stay(upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, [{"id": "b", "context_window": 5}, {"id": "a"}])

    _catalog(upstream, lambda ask, clock: _expect(ask(), ["a", "b"]))


def _expect(found: object, wanted: object) -> None:
    assert found == wanted

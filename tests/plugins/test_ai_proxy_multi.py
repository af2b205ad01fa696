"""ai-proxy-multi before scripted providers."""

import itertools
import json
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kit.embeddings import EmbeddingModel
from kit.model_routes import ASKED, at, instance
from kit.raw import RawClient
from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.waiting import until

PAGE = (Path(__file__).parent.parent.parent / "docs" / "plugins.md").read_text("utf-8")


def test_where_one_instance_fails_the_next_is_asked(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "down"}})) as failing:
        instances = [
            {"name": "first", "priority": 1, "weight": 1, **instance(failing)},
            {"name": "second", "priority": 0, "weight": 1, **instance(provider)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)
        assert site.ask(path, "POST", ASKED)[0] == 200
        assert (len(failing.requests), len(provider.requests)) == (1, 1)


def test_weights_share_calls_out(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(200, chat_answer())) as other:
        instances = [
            {"name": "wa", "weight": 1, **instance(provider)},
            {"name": "wb", "weight": 1, **instance(other)},
            {"name": "wc", "weight": 0, **instance(other)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)
        for _ in range(24):
            assert site.ask(path, "POST", ASKED)[0] == 200
        assert (len(provider.requests), len(other.requests)) == (12, 12)


def test_what_leads_to_another_instance_is_what_the_strategy_says(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "down"}})) as failing:
        names = itertools.count(1)

        def asked(**conf: Any) -> list[int]:
            found = []
            for status in (500, 429):
                # Of a name of its own: what asked to be left alone once is left alone.
                first = {"name": f"fb{next(names)}", "priority": 1, "weight": 1, **instance(failing)}
                second = {"name": "fb", "weight": 1, **instance(provider, options={"model": "other", "top_p": 0.1})}
                path = site.route({"ai-proxy-multi": {"instances": [first, second], **conf}}, upstream=None)
                failing.script = json_answer(status, {"error": {"message": "no"}})
                found.append(site.ask(path, "POST", ASKED)[0])
            return found

        assert asked(fallback_strategy=["http_429", "rate_limiting"]) == [500, 200]
        assert asked(fallback_strategy="http_5xx") == [200, 429]
        assert asked(fallback_strategy=["http_5xx", "http_429"], max_retries=0) == [500, 429]
        assert {name: provider.requests[-1].json().get(name) for name in ("model", "temperature", "top_p")} == {
            "model": "other",
            "temperature": None,
            "top_p": 0.1,
        }


def test_the_same_hash_goes_to_the_same_instance(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(200, chat_answer())) as other:
        instances = [
            {"name": "ha", "weight": 1, **instance(provider)},
            {"name": "hb", "weight": 1, **instance(other)},
        ]
        balancer = {"algorithm": "chash", "hash_on": "header", "key": "x-user"}
        path = site.route({"ai-proxy-multi": {"instances": instances, "balancer": balancer}}, upstream=None)
        went = []
        for user in [f"user-{number}" for number in range(8)] * 2:
            before = len(provider.requests)
            assert site.ask(path, "POST", ASKED, x_user=user)[0] == 200
            went.append(len(provider.requests) > before)
        assert went[:8] == went[8:]
        assert {True, False} == set(went)
        balancer.pop("key")
        words = site.refused({"ai-proxy-multi": {"instances": instances, "balancer": balancer}})
        assert "balancer.key is required" in words


def test_an_instance_that_its_active_check_finds_ill_is_not_asked(site: Site, provider: ScriptedUpstream) -> None:
    def ill(asked: Request, connection: Connection) -> bool | None:
        return json_answer(500 if asked.method == "GET" else 200, chat_answer())(asked, connection)

    with ScriptedUpstream(ill) as other:
        checks = {"active": {"http_path": "/health", "unhealthy": {"interval": 1, "http_failures": 1}}}
        instances = [
            {"name": "ca", "priority": 1, "weight": 1, "checks": checks, **instance(other)},
            {"name": "cb", "weight": 1, **instance(provider)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)

        def moved() -> bool:
            assert site.ask(path, "POST", ASKED)[0] == 200
            return bool(provider.requests)

        until(moved)
        asked = sum(each.method == "POST" for each in other.requests)
        assert site.ask(path, "POST", ASKED)[0] == 200
        assert sum(each.method == "POST" for each in other.requests) == asked


@pytest.fixture
def model() -> Iterator[EmbeddingModel]:
    with EmbeddingModel() as server:
        yield server


def meant(provider: ScriptedUpstream, model: EmbeddingModel, **conf: Any) -> dict[str, Any]:
    """A configuration that tells code from translations, and asks `general` otherwise."""
    examples = {"coder": ["write code", "mend this code"], "translator": ["translate"], "general": ["weather?", "joke"]}
    instances = [
        {"name": name, "weight": 1, "examples": each, **instance(provider, options={"model": f"of-the-{name}"})}
        for name, each in examples.items()
    ]
    embeddings = {
        "provider": "openai",
        "model": "text-embedding-3-small",
        "endpoint": f"http://127.0.0.1:{model.port}/v1/embeddings",
        "auth": {"header": {"Authorization": "Bearer sk-of-the-vectors"}},
        "timeout": 30000,
    }
    options = {"embeddings": embeddings, "threshold": 0.9, "fallback": "general"}
    options |= conf.pop("options", {})
    return {"instances": instances, "balancer": {"algorithm": "semantic"}, "semantic_opts": options, **conf}


def says(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "the weather"}, {"role": "user", "content": content}]}


def failures(site: Site, path: str) -> list[str]:
    """Lines of the log that say why nothing could be chosen for that route."""
    wanted = ('"ai_proxy_multi_failed"', f'"{path[1:]}"')
    return [line for line in site.gate.log().splitlines() if all(each in line for each in wanted)]


def used(provider: ScriptedUpstream) -> str:
    """Whose model was asked last."""
    name: str = provider.requests[-1].json()["model"]
    return name.removeprefix("of-the-")


def test_the_instance_is_asked_whose_examples_are_most_like_the_prompt(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    path = site.route({"ai-proxy-multi": meant(provider, model)}, upstream=None)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    for content, expected in (
        ("help with my code", "coder"),
        ("please translate", "translator"),
        ([picture, {"type": "text", "text": "about"}, {"type": "text", "text": "code"}], "coder"),
        ("what about hotels", "general"),
    ):
        status, headers, _ = site.ask(path, "POST", says(content), cookie="mine")
        assert (status, used(provider)) == (200, expected)
        assert not any(name.startswith("x-ai-semantic") for name in headers)
    examples, *prompts = model.texts
    assert examples == ["write code", "mend this code", "translate", "weather?", "joke"]
    assert prompts == [["help with my code"], ["please translate"], ["about code"], ["what about hotels"]]
    assert {each.headers["authorization"] for each in model.requests} == {"Bearer sk-of-the-vectors"}
    assert not any("cookie" in each.headers for each in model.requests)


def test_clients_of_all_dialects_are_understood(site: Site, provider: ScriptedUpstream, model: EmbeddingModel) -> None:
    path = site.route({"ai-proxy-multi": meant(provider, model, options={"fallback": "translator"})}, upstream=None)
    for below, asked in (
        ("/v1/messages", {"model": "m", "max_tokens": 9, "system": "the weather", **says("code")}),
        ("/v1/responses", {"model": "m", "input": "code"}),
        ("/v1/completions", {"model": "m", "prompt": "code"}),
        ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "code"}]}]}),
        ("/api/chat", {"model": "m", "stream": False, **says("code")}),
    ):
        site.ask(path + below, "POST", asked)
        assert (model.texts[-1], used(provider)) == (["code"], "coder"), below
    asked = {"model": "m", "input": "code"}
    before = len(model.requests)
    site.ask(path + "/v1/embeddings", "POST", asked)  # vectors of two models do not go together
    assert (len(model.requests), used(provider)) == (before, "translator")


def test_scores_are_told_where_that_is_wanted_and_an_instance_may_have_a_threshold_of_its_own(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    conf = meant(provider, model, options={"debugging": True, "threshold": 0.5})
    conf["instances"][0]["threshold"] = 0.95
    path = site.route({"ai-proxy-multi": conf}, upstream=None)
    told = []
    for content in ("code", "anything"):
        _, headers, _ = site.ask(path, "POST", says(content))
        told.append((headers["x-ai-semantic-picked-instance"], headers["x-ai-semantic-scores"], used(provider)))
    assert told == [
        ("coder", "coder:1.0000,general:0.7683,translator:0.0000", "coder"),
        ("general", "general:1.0000,coder:0.7683,translator:0.5488", "general"),
    ]
    explained = site.gate.command("explain", headers["x-request-id"])["rules"]
    assert [(each["instance"], each["cosine"], each["threshold"]) for each in explained] == [
        ("general", 1.0, 0.5),
        ("coder", 0.7683, 0.95),
        ("translator", 0.5488, 0.5),
    ]
    # "joke" is as unknown as "anything": without it the coder's own threshold decides.
    conf["instances"][2]["examples"] = ["weather"]
    path = site.route({"ai-proxy-multi": conf}, upstream=None)
    _, headers, _ = site.ask(path, "POST", says("anything"))
    assert (headers["x-ai-semantic-picked-instance"], used(provider)) == ("translator", "translator")
    conf["semantic_opts"]["threshold"] = 0.6
    path = site.route({"ai-proxy-multi": conf}, upstream=None)
    _, headers, _ = site.ask(path, "POST", says("anything"))
    assert (headers["x-ai-semantic-picked-instance"], used(provider)) == ("fallback", "general")


def test_where_there_are_no_vectors_the_fallback_is_asked_and_the_log_says_why(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    told: list[str] = []
    one = {"data": [{"index": 0, "embedding": [1e300, 1e300]}]}
    path = site.route({"ai-proxy-multi": meant(provider, model)}, upstream=None)
    for status, said, why in (
        (500, None, "answered with status 500"),
        (401, None, "refused this gate's credentials"),
        (200, b"null", "not a JSON object"),
        (200, {"data": [1, 2]}, "answer is none"),
        (200, {"data": []}, "answer is none"),
        (200, {"data": [{"index": 0, "embedding": [0, 0]}] * 5}, "answer is none"),
        (200, None, None),
        (500, None, "answered with status 500"),
        (200, one, "vectors are of different models"),
    ):
        model.status, model.said = status, said
        assert site.ask(path, "POST", says("secret-code"))[0] == 200
        assert used(provider) == ("general" if why else "coder"), why
        if why is not None:
            told.append(why)
            lines = until(lambda: found if len(found := failures(site, path)) == len(told) else None)
            assert why in lines[-1]
    assert "secret-code" not in site.gate.log()
    assert len(failures(site, path)) == len(told)


def test_an_embedding_model_that_is_silent_holds_a_request_up_no_longer_than_its_timeout(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    conf = meant(provider, model)
    conf["semantic_opts"]["embeddings"]["timeout"] = 200
    path = site.route({"ai-proxy-multi": conf}, upstream=None)
    model.held.clear()
    assert (site.ask(path, "POST", says("code"))[0], used(provider)) == (200, "general")
    model.held.set()


def test_an_embedding_model_where_nodes_may_not_be_is_not_asked(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    conf = meant(provider, model)
    conf["semantic_opts"]["embeddings"]["endpoint"] = "http://169.254.169.254/v1/embeddings"
    path = site.route({"ai-proxy-multi": conf}, upstream=None)
    assert (site.ask(path, "POST", says("code"))[0], used(provider)) == (200, "general")
    assert "allow_nodes" in until(lambda: failures(site, path))[0]


def test_first_requests_share_one_learning_of_the_examples(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    path = site.route({"ai-proxy-multi": meant(provider, model)}, upstream=None)
    model.held.clear()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(site.ask, path, "POST", says(f"code {number}")) for number in range(4)]
        until(lambda: model.requests)
        model.held.set()
        assert [each.result()[0] for each in asked] == [200] * 4
    assert sorted(len(texts) for texts in model.texts) == [1, 1, 1, 1, 5]


def test_of_a_long_prompt_the_beginning_is_looked_at(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    path = site.route({"ai-proxy-multi": meant(provider, model)}, upstream=None)
    assert (site.ask(path, "POST", says("a code" + "é" * 20000))[0], used(provider)) == (200, "coder")
    assert model.texts[-1] == ["a code" + "é" * ((16384 - 6) // 2)]


def test_who_leaves_while_his_prompt_is_looked_at_asks_no_model(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    def outcomes() -> list[str]:
        return [each["outcome"] for each in site.gate.events() if each["key_id"] == f"route:{path[1:]}"]

    def left(requests: int, ended: int) -> None:
        model.held.clear()
        client = RawClient(site.gate.port)
        client.post(path, "", says("code"))
        until(lambda: len(model.requests) == requests)
        client.reset()
        for _ in range(2):  # the gate has seen the reset once it has answered what came after it
            assert site.ask("/healthz")[0] == 200
        model.held.set()
        until(lambda: len(outcomes()) == ended)

    path = site.route({"ai-proxy-multi": meant(provider, model)}, upstream=None)
    left(requests=1, ended=1)
    assert site.ask(path, "POST", says("code"))[0] == 200  # the examples are known: others may need them
    until(lambda: len(outcomes()) == 3)
    left(requests=3, ended=4)
    assert (outcomes()[0], len(model.requests), len(provider.requests)) == ("client_left", 3, 1)
    assert failures(site, path) == []


def test_prompts_are_charged_to_who_asks_and_examples_to_the_route(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    name = site.consumer({"key-auth": {"key": "ai-meant"}})
    path = site.route({"key-auth": {}, "ai-proxy-multi": meant(provider, model)}, upstream=None)
    key = site.gate.new_key(name="meant", owner=name, limits=["1 requests/hour"])
    status, headers, _ = site.ask(path, "POST", says("code"), apikey=key)
    assert status == 200
    id = headers["x-request-id"]
    made = until(lambda: found if len(found := site.gate.events(request_id=id)) == 3 else None)
    main, prompt, examples = sorted(made, key=lambda event: event["request_id"])
    assert [each["request_id"] for each in (main, prompt, examples)] == [id, id + ".1", id + ".2"]
    assert (main["provider"], main["key_id"], prompt["provider"]) == ("coder", prompt["key_id"], "embeddings")
    assert (prompt["model"], prompt["input_tokens"], prompt["owner"]) == ("text-embedding-3-small", 7, name)
    assert (examples["key_id"], examples["input_tokens"], examples["owner"]) == (f"route:{path[1:]}", 35, None)

    poor = site.gate.new_key(name="poor", owner=name, budgets=["5 tokens/month"])
    before = len(model.requests)
    status, _, body = site.ask(path, "POST", says("code"), apikey=poor)
    assert (status, json.loads(body)["error"]["code"], len(model.requests)) == (429, "budget_exceeded", before)


def test_what_is_refused_or_only_tried_costs_no_vectors(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    site.consumer({"key-auth": {"key": "ai-meant-dry"}})
    limit = {"count": 1, "time_window": 600, "rejected_code": 429}
    plugins = {"key-auth": {}, "ai-proxy-multi": meant(provider, model, max_req_body_size=500), "limit-count": limit}
    path = site.route(plugins, upstream=None)
    status, _, body = site.ask(path, "POST", says("code"), apikey="ai-meant-dry", x_tollkeeper_dry_run="1")
    assert (status, b"of-the-general" in body) == (200, True)
    assert site.ask(path, "POST", says("code"), apikey="ai-meant-dry")[0] == 429
    del plugins["limit-count"]
    path = site.route(plugins, upstream=None)
    assert [site.ask(path, "POST", bad, apikey="ai-meant-dry")[0] for bad in (b"{", says("code" * 500))] == [400, 413]
    assert (model.requests, provider.requests) == ([], [])


def test_another_instance_is_asked_after_a_failure_only_where_a_strategy_says_so(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "down"}})) as failing:
        for strategy, expected in (({}, 500), ({"fallback_strategy": "http_5xx"}, 200)):
            conf = meant(provider, model, **strategy)
            conf["instances"][0] |= {"name": f"coder-{expected}", "override": at(failing)}
            path = site.route({"ai-proxy-multi": conf}, upstream=None)
            before = len(provider.requests)
            assert site.ask(path, "POST", says("code"))[0] == expected
            assert len(provider.requests) - before == (expected == 200)
        assert used(provider) == "general"


def test_an_instance_whose_tokens_are_used_up_gives_way_to_the_next(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    limit = {"instances": [{"name": "coder", "limit": 5, "time_window": 600}]}
    plugins = {"ai-proxy-multi": meant(provider, model, fallback_strategy=["rate_limiting"]), "ai-rate-limiting": limit}
    path = site.route(plugins, upstream=None)
    assert (site.ask(path, "POST", says("code"))[0], used(provider)) == (200, "coder")

    def moved() -> bool:
        assert site.ask(path, "POST", says("code"))[0] == 200
        return used(provider) == "general"

    until(moved)


def test_an_ill_instance_is_not_meant(site: Site, provider: ScriptedUpstream, model: EmbeddingModel) -> None:
    with ScriptedUpstream(json_answer(500, {})) as ill:
        conf = meant(provider, model)
        checks = {"active": {"http_path": "/health", "unhealthy": {"interval": 1, "http_failures": 1}}}
        conf["instances"][0] |= {"name": "ill", "checks": checks, "override": at(ill)}
        path = site.route({"ai-proxy-multi": conf}, upstream=None)
        until(lambda: site.ask(path, "POST", says("code"))[0] == 200)
        assert used(provider) == "general"


def test_what_semantic_needs_is_checked_when_it_is_written(
    site: Site, provider: ScriptedUpstream, model: EmbeddingModel
) -> None:
    conf = meant(provider, model)
    for change, words in (
        ({"semantic_opts": None}, "semantic_opts.embeddings is required"),
        (
            {"semantic_opts": {"embeddings": {"provider": "azure-openai", "model": "e"}}},
            "embeddings.endpoint is required",
        ),
        ({"semantic_opts": {**conf["semantic_opts"], "fallback": "nobody"}}, "names no instance with a weight: nobody"),
        ({"balancer": {"algorithm": "semantic", "threshold": 0.6}}, "additional properties forbidden, found threshold"),
    ):
        changed = {name: each for name, each in {**conf, **change}.items() if each is not None}
        assert words in site.refused({"ai-proxy-multi": changed})


def test_the_pages_example_chooses(site: Site, provider: ScriptedUpstream, model: EmbeddingModel) -> None:
    _, _, section = PAGE.partition("## Models by meaning")
    conf = tomllib.loads(section.split("```toml\n")[1].split("```")[0])["routes"]["ask"]["plugins"]["ai-proxy-multi"]
    conf["semantic_opts"]["embeddings"] |= {"endpoint": f"http://127.0.0.1:{model.port}", "auth": {}}
    for each in conf["instances"]:
        each |= {"override": at(provider), "provider": "openai", "auth": {}}
    path = site.route({"ai-proxy-multi": conf}, upstream=None)
    assert site.ask(path, "POST", says("what weather?"))[0] == 200
    assert (used(provider), len(model.requests)) == ("gpt-4o-mini", 2)

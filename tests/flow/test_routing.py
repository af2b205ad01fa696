"""Routing: which target a name has, and which names have none."""

from collections.abc import Mapping, Sequence

import pytest

from tollkeeper.core.account import Account, Target
from tollkeeper.core.errors import CallerError
from tollkeeper.flow.routing import Routing
from tollkeeper.providers import PROVIDERS


def _account(name: str, kind: str | None = None) -> Account:
    return Account(name=name, provider=PROVIDERS[kind or name])


OPENAI, GROQ, LOCAL, DEMO = _account("openai"), _account("groq"), _account("local", "vllm"), _account("demo")


def _routing(*accounts: Account, models: Mapping[str, Sequence[Target]] | None = None) -> Routing:
    return Routing(models or {}, {account.name: account for account in accounts})


def _refused(routing: Routing, model: str) -> CallerError:
    with pytest.raises(CallerError) as raised:
        routing.targets(model)
    return raised.value


def test_a_configured_model_has_its_targets_in_order() -> None:
    targets = (Target(GROQ, "b"), Target(OPENAI, "a"))
    routing = _routing(OPENAI, GROQ, models={"house/best": targets})

    assert routing.targets("house/best") == targets


def test_a_configured_name_comes_before_a_providers_own() -> None:
    target = (Target(GROQ, "llama"),)
    routing = _routing(OPENAI, GROQ, models={"gpt-4o": target, "openai/gpt-4o": target})

    assert routing.targets("gpt-4o") == routing.targets("openai/gpt-4o") == target


@pytest.mark.parametrize(
    ("asked", "account", "model"),
    [
        ("openai/gpt-4o", OPENAI, "gpt-4o"),
        ("groq/gpt-4o", GROQ, "gpt-4o"),
        ("groq/openai/gpt-oss-120b", GROQ, "openai/gpt-oss-120b"),
        ("local/any name", LOCAL, "any name"),
        ("gpt-4o", OPENAI, "gpt-4o"),
        ("ft:gpt-4o:acme::1", OPENAI, "ft:gpt-4o:acme::1"),
        ("text-embedding-3-small", OPENAI, "text-embedding-3-small"),
    ],
)
def test_a_name_finds_its_provider(asked: str, account: Account, model: str) -> None:
    assert _routing(GROQ, LOCAL, OPENAI).targets(asked) == (Target(account, model),)


@pytest.mark.parametrize(
    "asked", ["", "/", "llama-3", "nobody/gpt-4o", "OPENAI/gpt-4o", "openai/", "/gpt-4o", "Gpt-4o", "*"]
)
def test_a_name_that_nobody_has_is_refused_as_openai_refuses_it(asked: str) -> None:
    error = _refused(_routing(GROQ, OPENAI), asked)

    assert (error.status, error.code, error.param, error.type) == (
        404,
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert f"`{asked}`" in error.message


def test_any_name_goes_to_the_only_provider() -> None:
    assert _routing(LOCAL).targets("whatever") == (Target(LOCAL, "whatever"),)
    assert _routing(DEMO, LOCAL).targets("whatever") == (Target(LOCAL, "whatever"),)


def test_but_not_where_models_are_configured() -> None:
    routing = _routing(LOCAL, models={"m": (Target(LOCAL, "x"),)})

    _refused(routing, "whatever")
    assert routing.targets("local/whatever") == (Target(LOCAL, "whatever"),)


def test_the_demo_takes_no_other_name() -> None:
    _refused(_routing(DEMO), "whatever")


def test_without_providers_nothing_is_there_and_that_is_said() -> None:
    error = _refused(_routing(), "gpt-4o")
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert "no provider is configured here" in error.message
    with pytest.raises(CallerError) as raised:
        _routing().unnamed(None)
    assert (raised.value.status, raised.value.code) == (404, "provider_not_found")


def test_a_request_without_a_model_goes_where_it_asks_or_to_the_first() -> None:
    routing = _routing(GROQ, OPENAI)

    assert routing.unnamed(None) == Target(GROQ, None)
    assert routing.unnamed("openai") == Target(OPENAI, None)
    with pytest.raises(CallerError) as raised:
        routing.unnamed("x" * 500)
    assert (raised.value.status, raised.value.code) == (404, "provider_not_found")
    assert len(raised.value.message) < 200

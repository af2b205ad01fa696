"""A config is what its file says, its defaults where it says nothing, and the environment's keys."""

from pathlib import Path

import pytest

from tollkeeper import config
from tollkeeper.config import Config, Loaded
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import ConfigError
from tollkeeper.core.money import Price
from tollkeeper.providers import PROVIDERS

OPENAI = {"OPENAI_API_KEY": "sk-env"}


def loaded(folder: Path, text: str, environment: dict[str, str] | None = None, *, demo: bool = False) -> Loaded:
    path = folder / "gate.toml"
    path.write_text(text, "utf-8")
    return config.load(path, environment or {}, demo=demo)


def test_without_a_file_everything_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = config.load(None, {})

    assert (found.config, found.accounts, found.models, found.path) == (Config(), {}, {}, None)
    server = found.config.server
    assert (server.host, server.port, server.operator_host, server.operator_port) == (
        "127.0.0.1",
        9080,
        "127.0.0.1",
        9180,
    )


def test_the_file_in_the_working_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tollkeeper.toml").write_text("[server]\nport = 1234\n", "utf-8")
    monkeypatch.chdir(tmp_path)

    assert config.load(None, {}).config.server.port == 1234


def test_what_is_given_is_taken_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        """
        server.shutdown_seconds = 1.5
        [providers.openai]
        api_key = "sk-file"
        leave = "cancel"
        timeouts = { connect = 2, idle = 0.5 }
        [models."gpt-4.1"]
        targets = ["openai/gpt-4.1", "openai/a/b"]
        price = { input = 0.15, output = "0.6", cached_input = 0.075, request = 0.01 }
        """,
        OPENAI,
    )
    account = found.accounts["openai"]
    first, second = found.models["gpt-4.1"]

    assert found.config.server.shutdown_seconds == 1.5
    assert (account.secret, account.leave, account.timeouts) == ("sk-file", "cancel", Patience(connect=2, idle=0.5))
    assert account.provider == PROVIDERS["openai"]
    assert (first.account, first.model, second.model) == (account, "gpt-4.1", "a/b")
    assert first.price == Price(
        version="config", input=150_000_000, output=600_000_000, cached_input=75_000_000, request=10_000_000
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [("env:KEY", "from-env"), ("file:{folder}/key", "from-file"), ("plain", "plain")],
)
def test_a_secret_may_stand_in_the_environment_or_in_a_file(tmp_path: Path, given: str, expected: str) -> None:
    (tmp_path / "key").write_text("  from-file\n", "utf-8")
    text = f"[providers.openai]\napi_key = '{given.format(folder=tmp_path)}'\n"

    found = loaded(tmp_path, text, {**OPENAI, "KEY": "from-env"})

    assert found.accounts["openai"].secret == expected
    assert expected not in repr(found.accounts)


def test_a_key_in_the_environment_turns_its_provider_on(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, "", {"GROQ_API_KEY": "gsk", "MISTRAL_API_KEY": "", "AZURE_OPENAI_API_KEY": "az", "HF_TOKEN": "hf"}
    )

    assert {name: account.secret for name, account in found.accounts.items()} == {"groq": "gsk"}
    assert found.accounts["groq"].provider == PROVIDERS["groq"]


def test_azure_is_on_when_the_environment_has_its_key_and_its_endpoint(tmp_path: Path) -> None:
    environment = {"AZURE_OPENAI_API_KEY": "az", "AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com/"}
    account = loaded(tmp_path, "", environment).accounts["azure"]

    assert (account.secret, account.provider.base_url) == ("az", "https://me.openai.azure.com/openai")


def test_a_configured_provider_takes_its_key_from_the_environment_and_is_there_once(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "[providers.openai]\nleave = 'cancel'\n[providers.mine]\nkind = 'groq'\napi_key = 'k'\n",
        {
            **OPENAI,
            "GROQ_API_KEY": "gsk",
        },
    )

    assert {name: account.secret for name, account in found.accounts.items()} == {"openai": "sk-env", "mine": "k"}


def test_a_key_from_the_environment_goes_to_no_other_server(tmp_path: Path) -> None:
    text = "[providers.local]\nkind = 'openai'\nbase_url = 'http://127.0.0.1:8000/v1/'\nstream_usage = 'never'\n"
    found = loaded(tmp_path, text, OPENAI)
    local = found.accounts["local"]

    assert (local.secret, local.provider.base_url) == (None, "http://127.0.0.1:8000/v1")
    assert (local.provider.models, local.provider.prices, local.provider.stream_usage) == ((), None, "never")


def test_prices_are_those_of_the_kind_at_its_own_address_and_elsewhere_those_that_are_named(tmp_path: Path) -> None:
    text = """
[providers.mine]
kind = "vertex"
base_url = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/openapi"
api_key = "k"
[providers.proxied]
kind = "anthropic"
base_url = "https://proxy.example.com/v1"
api_key = "k"
prices = "anthropic"
[providers.free]
kind = "groq"
api_key = "k"
prices = "none"
"""
    accounts = loaded(tmp_path, text).accounts

    assert {name: accounts[name].provider.prices for name in ("mine", "proxied", "free")} == {
        "mine": "google",
        "proxied": "anthropic",
        "free": None,
    }


def test_prices_of_nobody_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"providers\.groq\.prices: expected none or one of: .*anthropic"):
        loaded(tmp_path, "[providers.groq]\napi_key = 'k'\nprices = 'nobody'\n")


def test_a_server_on_this_machine_needs_a_table_and_no_key(tmp_path: Path) -> None:
    found = loaded(tmp_path, "[providers.ollama]\n[models.small]\ntargets = ['ollama/qwen3']\n")

    assert found.accounts["ollama"].secret is None
    assert [target.model for target in found.models["small"]] == ["qwen3"]


def test_the_demo_is_there_when_asked_for_and_has_a_price(tmp_path: Path) -> None:
    found = loaded(tmp_path, "", demo=True)
    (target,) = found.models["demo"]

    assert list(found.accounts) == ["demo"]
    assert target.price is not None
    assert list(loaded(tmp_path, "").accounts) == []

"""Every provider's file keeps to what the rest of the gate takes for granted."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from genai_prices.data import providers as priced

from tollkeeper import providers
from tollkeeper.core.provider import Provider
from tollkeeper.providers import PROVIDERS

LOOPBACK = ("127.0.0.1", "localhost")
NO_URL_OF_THEIR_OWN = ("azure", "demo", "vertex")
REACHABLE = [provider for name, provider in PROVIDERS.items() if name not in NO_URL_OF_THEIR_OWN]
# https://github.com/open-telemetry/semantic-conventions-genai/blob/main/model/gen-ai/registry.yaml
WELL_KNOWN = {"openai", "gcp.gemini", "cohere", "azure.ai.openai", "perplexity", "x_ai", "deepseek", "groq"} | {
    "mistral_ai",
    "moonshot_ai",
    "anthropic",
    "aws.bedrock",
    "gcp.vertex_ai",
}


def _by_name(provider: Provider) -> str:
    return provider.name


def test_every_file_is_a_provider_of_that_name() -> None:
    files = {path.stem.replace("_", "-") for path in Path(providers.__file__).parent.glob("[a-z]*.py")}

    assert files == set(PROVIDERS)
    assert len(files) >= 18


@pytest.mark.parametrize("provider", REACHABLE, ids=_by_name)
def test_a_base_url_is_encrypted_or_on_this_machine_and_ends_without_a_slash(provider: Provider) -> None:
    url = urlsplit(provider.base_url)

    assert url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
    assert url.hostname
    assert (url.query, url.fragment, url.username) == ("", "", None)
    assert not provider.base_url.endswith("/")


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio", "llamacpp"])
def test_the_environment_never_turns_a_server_on_this_machine_into_a_provider(name: str) -> None:
    assert urlsplit(PROVIDERS[name].base_url).hostname in LOOPBACK
    assert PROVIDERS[name].key_env is None


@pytest.mark.parametrize("provider", REACHABLE, ids=_by_name)
def test_documentation_is_named_and_the_file_begins_with_it(provider: Provider) -> None:
    first = (
        (Path(providers.__file__).parent / f"{provider.name.replace('-', '_')}.py").read_text("utf-8").split("\n")[0]
    )

    assert re.fullmatch(r"https://[^\s]+[^/\s]", provider.docs)
    assert provider.docs in first


def test_no_two_providers_read_the_same_key() -> None:
    named = [provider.key_env for provider in PROVIDERS.values() if provider.key_env is not None]

    assert sorted(set(named)) == sorted(named)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) for name in named)


@pytest.mark.parametrize("general", ["HF_TOKEN", "GITHUB_TOKEN", "GOOGLE_API_KEY"])
def test_a_key_that_is_set_for_other_purposes_activates_nothing(general: str) -> None:
    assert general not in {provider.key_env for provider in PROVIDERS.values()}


def test_prices_are_looked_up_under_names_that_genai_prices_knows() -> None:
    known = {provider.id for provider in priced}

    assert {provider.prices for provider in PROVIDERS.values()} - {None} <= known


def test_telemetry_uses_the_names_that_opentelemetry_defines() -> None:
    ours = {provider.otel for provider in PROVIDERS.values() if provider.name != "demo"}

    assert ours - {None} <= WELL_KNOWN


def test_a_model_name_is_claimed_by_one_provider_at_most() -> None:
    claims = [(beginning, provider.name) for provider in PROVIDERS.values() for beginning in provider.models]

    for beginning, name in claims:
        others = {other for start, other in claims if beginning.startswith(start)}
        assert others == {name}, beginning


@pytest.mark.parametrize(
    "elsewhere",
    ["deepseek-ai/DeepSeek-V3.2", "mistralai/Mistral-7B", "MiniMaxAI/MiniMax-M2", "zai-org/GLM-5.3", "Qwen/Qwen3-32B"],
)
def test_a_name_that_hosts_of_open_weights_use_is_claimed_by_nobody(elsewhere: str) -> None:
    assert [p.name for p in PROVIDERS.values() if p.models and elsewhere.startswith(p.models)] == []

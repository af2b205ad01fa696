"""Azure's ways: its clients in front of the gate, its paths behind it, in either combination."""

from collections.abc import Iterator

import openai
import pytest
from openai import AzureOpenAI

from clients.aimock import HELLO, HELLO_TOKENS, HELLO_USD, Aimock
from clients.caller import Caller, tokens
from clients.environments import needs_openai028, openai_028

ASK = [{"role": "user", "content": "say hello"}]
VERSION = "2024-10-21"


@pytest.fixture
def client(caller: Caller) -> Iterator[AzureOpenAI]:
    """openai's client for Azure, told that the gate is its endpoint."""
    with AzureOpenAI(azure_endpoint=caller.gate.url, api_key=caller.key, api_version=VERSION, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["gpt-4o-mini", "deployed"])
def test_a_deployment_is_a_model_of_the_gate(client: AzureOpenAI, caller: Caller, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASK)

    assert answer.choices[0].message.content == HELLO
    event = caller.event()
    assert (event["model_asked"], event["model"], tokens(event)) == (model, "gpt-4o-mini", HELLO_TOKENS)
    assert event["cost_usd"] == HELLO_USD


@pytest.mark.parametrize("model", ["gpt-4o-mini", "deployed"])
def test_a_deployment_streams(client: AzureOpenAI, caller: Caller, model: str) -> None:
    with client.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
        words = [chunk.choices[0].delta.content or "" for chunk in stream]

    assert "".join(words) == HELLO
    assert (tokens(caller.event()), caller.event()["quality"]) == (HELLO_TOKENS, "reported")


def test_azures_paths_and_version_are_used_behind_the_gate_only(
    client: AzureOpenAI, caller: Caller, aimock: Aimock
) -> None:
    with openai.OpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as plain:
        plain.chat.completions.create(model="deployed", messages=ASK)

    caller.event()
    paths = [seen["path"] for seen in aimock.journal(limit="1000")]
    assert paths[-1] == f"/openai/deployments/gpt-4o-mini/chat/completions?api-version={VERSION}"


def test_azures_version_does_not_reach_a_provider_that_is_not_azure(
    client: AzureOpenAI, caller: Caller, aimock: Aimock
) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    caller.event()
    assert aimock.journal(limit="1000")[-1]["path"] == "/v1/chat/completions"


def test_embeddings_of_a_deployment_are_answered(client: AzureOpenAI, caller: Caller) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input="one", dimensions=8)

    assert len(answer.data[0].embedding) == 8
    assert (caller.event()["operation"], caller.event()["model_asked"]) == ("embeddings", "text-embedding-3-small")


def test_a_wrong_key_is_an_authentication_error(caller: Caller) -> None:
    with (
        AzureOpenAI(azure_endpoint=caller.gate.url, api_key="tk-nobody", api_version=VERSION) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert caller.events(0) == []


@needs_openai028
@pytest.mark.parametrize("call", ["chat", "stream"])
def test_openai_028_set_to_azure_is_served(caller: Caller, call: str) -> None:
    environment = {
        "OPENAI_API_TYPE": "azure",
        "OPENAI_API_VERSION": VERSION,
        "OPENAI_API_BASE": caller.gate.url,
        "OPENAI_API_KEY": caller.key,
    }
    job = {"call": call, "with": {"engine": "gpt-4o-mini", "messages": ASK}}

    result = openai_028(job, environment)

    assert "error" not in result
    assert tokens(caller.event()) == HELLO_TOKENS

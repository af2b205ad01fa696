"""The newest openai for Python against the independent provider: text in all its forms, and what the ledger says of it."""

import json
from collections.abc import Iterator

import pytest
from openai import APIError, NotFoundError, OpenAI, PermissionDeniedError, pydantic_function_tool
from pydantic import BaseModel

from clients.aimock import HELLO, HELLO_TOKENS, HELLO_USD, Aimock
from clients.caller import Caller, new_caller, tokens
from kit.gate import GateProcess

ASK = [{"role": "user", "content": "say hello"}]


class Weather(BaseModel):
    """A tool's arguments."""

    city: str


@pytest.fixture
def client(caller: Caller) -> Iterator[OpenAI]:
    """As a user makes it, but that nothing is tried twice."""
    with OpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as made:
        yield made


def test_a_chat_completion_is_answered_and_charged_as_the_provider_reports(client: OpenAI, caller: Caller) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert answer.choices[0].message.content == HELLO
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == HELLO_TOKENS
    event = caller.event()
    assert tokens(event) == HELLO_TOKENS
    assert (event["quality"], event["outcome"], event["status"]) == ("reported", "ok", 200)
    assert event["cost_usd"] == HELLO_USD
    assert (event["model_asked"], event["model_used"]) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert answer._request_id == event["request_id"]


def test_the_provider_gets_the_request_with_the_gates_key_and_the_clients_words(
    client: OpenAI, caller: Caller, aimock: Aimock
) -> None:
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": "Be kind."}, *ASK],
        temperature=0.25,
        seed=7,
        extra_body={"field_of_tomorrow": {"deep": [1, None, "ž"]}},
        extra_headers={"x-title": "mine"},
    )

    [event] = caller.events(1)
    seen = aimock.journal(path="/v1/chat/completions", limit="1000")[-1]
    body, headers = seen["body"], seen["headers"]
    assert body["messages"] == [{"role": "system", "content": "Be kind."}, *ASK]
    assert (body["temperature"], body["seed"]) == (0.25, 7)
    assert body["field_of_tomorrow"] == {"deep": [1, None, "ž"]}
    assert headers["x-title"] == "mine"
    assert caller.key not in json.dumps(seen)
    assert event["outcome"] == "ok"


def test_the_answers_headers_tell_how_it_was_served(client: OpenAI, caller: Caller) -> None:
    raw = client.chat.completions.with_raw_response.create(model="team/quick", messages=ASK)

    assert raw.parse().choices[0].message.content == HELLO
    assert raw.headers["x-tollkeeper-model"] == "mock/gpt-4o-mini"
    assert raw.headers["x-tollkeeper-attempts"] == "1"
    assert raw.headers["x-tollkeeper-cost"] == HELLO_USD
    assert raw.headers["x-request-id"] == caller.event()["request_id"]
    assert raw.headers["x-upstream-request-id"].startswith("req-")


def test_a_models_name_of_the_gates_own_reaches_the_provider_as_the_providers(
    client: OpenAI, caller: Caller, aimock: Aimock
) -> None:
    client.chat.completions.create(model="team/quick", messages=ASK)

    event = caller.event()
    assert (event["model_asked"], event["model"]) == ("team/quick", "gpt-4o-mini")
    assert aimock.journal(path="/v1/chat/completions", limit="1000")[-1]["body"]["model"] == "gpt-4o-mini"


def test_a_stream_without_include_usage_shows_none_and_is_charged_all_the_same(client: OpenAI, caller: Caller) -> None:
    with client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True) as stream:
        chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == HELLO
    assert all(chunk.usage is None for chunk in chunks)
    event = caller.event()
    assert tokens(event) == HELLO_TOKENS
    assert (event["quality"], event["streamed"], event["cost_usd"]) == ("reported", True, HELLO_USD)


def test_a_stream_with_include_usage_ends_with_it(client: OpenAI, caller: Caller) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    with stream:
        chunks = list(stream)

    assert [chunk.choices for chunk in chunks].count([]) == 1
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == HELLO_TOKENS
    assert stream.response.headers["x-request-id"] == caller.event()["request_id"]
    assert tokens(caller.event()) == HELLO_TOKENS


def test_the_stream_helper_gathers_text_and_usage(client: OpenAI, caller: Caller) -> None:
    with client.chat.completions.stream(
        model="gpt-4o-mini", messages=ASK, stream_options={"include_usage": True}
    ) as stream:
        words = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()

    assert "".join(words) == HELLO == final.choices[0].message.content
    assert final.usage is not None
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == HELLO_TOKENS
    assert tokens(caller.event()) == HELLO_TOKENS


def test_parallel_tool_calls_arrive_whole_through_the_stream_helper(client: OpenAI, caller: Caller) -> None:
    tool = pydantic_function_tool(Weather, name="weather")
    ask = [{"role": "user", "content": "weather in Prague"}]
    with client.chat.completions.stream(model="gpt-4o-mini", messages=ask, tools=[tool]) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls or []

    assert [(call.id, call.function.parsed_arguments) for call in calls] == [
        ("call_1", Weather(city="Prague")),
        ("call_2", Weather(city="Brno")),
    ]
    assert tokens(caller.event()) == (40, 21)


def test_every_turn_of_a_tool_loop_is_one_event(client: OpenAI, caller: Caller) -> None:
    tool = pydantic_function_tool(Weather, name="weather")
    messages: list = [{"role": "user", "content": "weather in Prague"}]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[tool]).choices[0].message
    messages.append(first)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "snow"} for call in first.tool_calls or []]

    last = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[tool])

    assert last.choices[0].message.content == "It snows."
    assert [tokens(event) for event in caller.events(2)] == [(40, 21), (70, 4)]


def test_a_response_is_answered_and_charged(client: OpenAI, caller: Caller) -> None:
    answer = client.responses.create(model="gpt-4o-mini", input="say hello")

    assert answer.output_text == HELLO
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == HELLO_TOKENS
    event = caller.event()
    assert tokens(event) == HELLO_TOKENS
    assert (event["dialect"], event["cost_usd"]) == ("openai_responses", HELLO_USD)


def test_a_streamed_response_is_gathered_by_the_helper_and_charged(client: OpenAI, caller: Caller) -> None:
    with client.responses.stream(model="gpt-4o-mini", input="say hello") as stream:
        words = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert "".join(words) == HELLO == final.output_text
    event = caller.event()
    assert tokens(event) == HELLO_TOKENS
    assert (event["streamed"], event["quality"], event["cost_usd"]) == (True, "reported", HELLO_USD)


def test_a_response_streamed_plainly_gives_every_event(client: OpenAI, caller: Caller) -> None:
    with client.responses.create(model="gpt-4o-mini", input="say hello", stream=True) as stream:
        kinds = [event.type for event in stream]

    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert tokens(caller.event()) == HELLO_TOKENS


def test_embeddings_arrive_as_numbers_and_are_one_event(client: OpenAI, caller: Caller) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=8)

    assert [len(item.embedding) for item in answer.data] == [8, 8]
    assert all(isinstance(number, float) for item in answer.data for number in item.embedding)
    event = caller.event()
    assert (event["operation"], event["outcome"], event["model_asked"]) == (
        "embeddings",
        "ok",
        "text-embedding-3-small",
    )


def test_a_moderation_without_a_model_is_answered(client: OpenAI, caller: Caller) -> None:
    assert client.moderations.create(input="say hello").results[0].flagged is False
    assert (caller.event()["operation"], caller.event()["outcome"]) == ("moderation", "ok")


def test_the_models_are_those_that_the_gate_has(client: OpenAI) -> None:
    listed = [model.id for model in client.models.list()]

    assert listed == sorted(listed)
    assert {"gpt-4o-mini", "team/quick", "deployed", "text-embedding-3-small", "whisper-1", "team/ears"} <= set(listed)
    assert "mock/gpt-4o-mini" not in listed
    assert client.models.retrieve("gpt-4o-mini").owned_by == "mock"
    assert client.models.retrieve("team/quick").id == "team/quick"


def test_a_key_that_is_limited_to_a_model_sees_and_gets_that_one_alone(aimock_gate: GateProcess) -> None:
    caller = new_caller(aimock_gate, models=["team/quick"])
    with OpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["team/quick"]
        assert client.chat.completions.create(model="team/quick", messages=ASK).choices[0].message.content == HELLO
        with pytest.raises(NotFoundError):
            client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
        with pytest.raises(NotFoundError):
            client.chat.completions.create(model="mock/gpt-4o-mini", messages=ASK)
        with pytest.raises(PermissionDeniedError):
            client.files.list()

    assert caller.event()["model_asked"] == "team/quick"


def test_a_stream_that_the_provider_breaks_off_raises_and_what_came_is_counted(client: OpenAI, caller: Caller) -> None:
    words: list[str] = []
    ask = [{"role": "user", "content": "break off"}]
    with (
        client.chat.completions.create(model="gpt-4o-mini", messages=ask, stream=True) as stream,
        pytest.raises(APIError) as caught,
    ):
        words.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    assert "".join(words).startswith("This sentence")
    assert caught.value.code in ("upstream_cut", "upstream_reset")
    event = caller.event()
    assert (event["outcome"], event["quality"]) == ("upstream_cut", "counted")
    assert event["output_tokens"] >= 2
    assert event["cost_usd"] != "0"

"""Streams as providers really send them, oddities and all, become ordered neutral pieces."""

import json
from typing import Any

import msgspec
import pytest

from kit.translations import ANTHROPIC, CHAT, SITTING, decoded
from tollkeeper.core.answers import gathered
from tollkeeper.core.conversation import Foreign, Reasoning, Refusal, Seal, Text, ToolUse
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    End,
    Failed,
    Failure,
    Finish,
    Ping,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Sitting


def chunk(*choices: dict[str, Any], **members: Any) -> bytes:
    found = {"id": "c1", "model": "m", "created": 5, "choices": list(choices), **members}
    return b"data: " + json.dumps(found).encode() + b"\n\n"


def delta(index: int = 0, finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"index": index, "delta": members, "finish_reason": finish}


def call(arguments: str | None = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return delta(tool_calls=[{"type": "function", "function": function, **members}])


DONE = b"data: [DONE]\n\n"


def blocks(*events: bytes) -> list[Any]:
    return list(gathered(decoded(CHAT, b"".join(events) + DONE)).choices[0].blocks)


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


# --- Chat Completions -----------------------------------------------------------------------------------------------


def test_a_plain_stream_has_one_text_and_ends_once() -> None:
    raw = chunk(delta(role="assistant", content="")) + chunk(delta(content="Hé")) + chunk(delta(finish="stop"))

    assert decoded(CHAT, raw + DONE + DONE + chunk(delta(content="late"))) == [
        Start("c1", "m", 5),
        TextStart(0),
        TextDelta(0, "Hé"),
        BlockEnd(0),
        Finish("end"),
        End(),
    ]


def test_parallel_calls_may_interleave() -> None:
    found = blocks(
        chunk(call("", "f", index=0, id="a")),
        chunk(call("", "g", index=1, id="b")),
        chunk(call('{"x":', index=0)),
        chunk(call('{"y":', index=1)),
        chunk(call("1}", index=0)),
        chunk(call("2}", index=1)),
        chunk(delta(finish="stop")),
    )

    assert found == [ToolUse("a", "f", '{"x":1}'), ToolUse("b", "g", '{"y":2}')]


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([call('{"x":1}', "f", id="a"), call('{"y":2}', "g", id="b")], id="no index, told apart by id"),
        pytest.param(
            [call("", "f", id="a"), call('{"x":1}'), call("", "g", id="b"), call('{"y":2}')], id="no index, no id later"
        ),
        pytest.param(
            [call('{"x":1}', "f", index=0, id="a"), call('{"y":2}', "g", index=0, id="b")], id="every index is 0"
        ),
        pytest.param(
            [call('{"x":', index=0, id="a"), call("1}", "f", index=0), call('{"y":2}', "g", index=1, id="b")],
            id="the name comes later",
        ),
        pytest.param(
            [call('{"x":', "f", index=0, id="a"), call("1}", index=0, id="a"), call('{"y":2}', "g", index=1, id="b")],
            id="the id is said again",
        ),
    ],
)
def test_calls_are_told_apart_however_they_are_marked(calls: list[Any]) -> None:
    found = blocks(*[chunk(one) for one in calls], chunk(delta(finish="tool_calls")))

    assert found == [ToolUse("a", "f", '{"x":1}'), ToolUse("b", "g", '{"y":2}')]


def test_a_call_without_id_gets_one_of_the_request_s() -> None:
    found = blocks(chunk(call("{}", "f", index=0)), chunk(call("{}", "f", index=1)), chunk(delta(finish="stop")))

    assert len({use.id for use in found}) == 2
    assert all("req1" in use.id for use in found)


def test_a_whole_call_ends_when_something_else_begins() -> None:
    raw = chunk(call('{"a":1}', "f", index=0, id="a")) + chunk(call("", "g", index=1, id="b"))
    found = [type(piece) for piece in decoded(CHAT, raw + chunk(delta(finish="stop")) + DONE)]

    assert found[1:6] == [ToolStart, TextDelta, BlockEnd, ToolStart, BlockEnd]


def test_a_call_means_that_results_are_awaited_whatever_the_provider_calls_it() -> None:
    raw = chunk(call("{}", "f", index=0, id="a")) + chunk(delta(finish="stop")) + DONE

    assert gathered(decoded(CHAT, raw)).choices[0].stop == "tool"


def test_words_that_come_with_and_after_the_finish_reason_count() -> None:
    raw = chunk(delta(content="a", finish="length")) + chunk(delta(content="b", finish="length")) + DONE
    answer = gathered(decoded(CHAT, raw))

    assert answer.choices[0].blocks == (Text("ab"),)
    assert answer.choices[0].stop == "length"


@pytest.mark.parametrize("place", ["before", "with", "after", "groq"])
def test_usage_is_heard_wherever_it_stands(place: str) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    finish = delta(finish="stop")
    raw = {
        "before": chunk(delta(content="a"), usage=usage) + chunk(finish),
        "with": chunk(delta(content="a")) + chunk(finish, usage=usage),
        "after": chunk(delta(content="a")) + chunk(finish) + chunk(usage=usage) + chunk(moderation={"x": 1}),
        "groq": chunk(delta(content="a")) + chunk(finish, x_groq={"usage": usage}),
    }[place]
    answer = gathered(decoded(CHAT, raw + DONE))

    assert answer.reported is not None
    assert (answer.reported.usage.input_tokens, answer.reported.usage.output_tokens) == (3, 2)


def test_choices_are_kept_apart() -> None:
    raw = chunk(delta(0, content="a")) + chunk(delta(1, content="x")) + chunk(delta(0, content="b"))
    raw += chunk(delta(1, "length")) + chunk(delta(0, "stop")) + DONE
    answer = gathered(decoded(CHAT, raw))

    assert [choice.blocks for choice in answer.choices] == [(Text("ab"),), (Text("x"),)]
    assert [choice.stop for choice in answer.choices] == ["end", "length"]


def test_azure_s_first_chunk_and_choices_without_delta_pass() -> None:
    first = chunk(id="", model="", created=0, prompt_filter_results=[{"prompt_index": 0}])
    late = chunk({"index": 0, "content_filter_offsets": {"check_offset": 1}})
    found = decoded(CHAT, first + chunk(delta(content="a")) + chunk(delta(finish="stop")) + late + DONE)

    assert [piece for piece in found if isinstance(piece, Start)] == [Start("c1", "m", 5)]
    assert gathered(found).choices[0].blocks[-1] == Text("a")


def test_mistral_s_parts_are_thoughts_and_words() -> None:
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]

    assert blocks(
        chunk(delta(content=thought)),
        chunk(delta(content=[{"type": "text", "text": "a"}])),
        chunk(delta(finish="stop")),
    ) == [Reasoning("hm"), Text("a")]


def test_reasoning_with_its_seal_comes_back_with_its_origin() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": None, "format": "f", "index": 0}]
    signed = [{"type": "reasoning.text", "signature": "sig", "format": "f", "index": 0}]
    found = blocks(
        chunk(delta(reasoning="hm", reasoning_details=details)),
        chunk(delta(reasoning_details=signed)),
        chunk(delta(content="a", finish="stop")),
    )

    assert found[0].text == "hm"
    assert found[0].seal.origin == "someone"
    assert json.loads(found[0].seal.value) == {"type": "reasoning.text", "signature": "sig", "format": "f"}
    assert found[1:] == [Text("a")]


def test_gemini_s_signature_seals_the_call() -> None:
    extra = {"google": {"thought_signature": "sig"}}
    found = blocks(chunk(call("{}", "f", id="a", extra_content=extra)), chunk(delta(finish="stop")))

    assert found == [ToolUse("a", "f", "{}", seal=Seal("sig", "someone"))]


def test_refusals_and_log_probabilities_are_kept() -> None:
    likely = {"content": None, "refusal": [{"token": "No", "logprob": -0.5, "bytes": [78, 111], "top_logprobs": []}]}
    refused = {**delta(refusal="No"), "logprobs": likely}
    found = decoded(CHAT, chunk(refused) + chunk(delta(finish="stop")) + DONE)

    assert gathered(found).choices[0].blocks == (Refusal("No"),)
    assert gathered(found).choices[0].stop == "refusal"
    assert next(piece.logprobs for piece in found if isinstance(piece, TextDelta))[0].token == "No"  # type: ignore[index]


def test_the_legacy_function_call_is_a_tool_call() -> None:
    raw = [chunk(delta(function_call={"name": "f", "arguments": ""})), chunk(delta(function_call={"arguments": "{}"}))]
    found = blocks(*raw, chunk(delta(finish="function_call")))

    assert [(use.name, use.arguments) for use in found] == [("f", "{}")]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"message": "m", "type": "server_error", "code": "overloaded"}, 500, "overloaded"),
        ({"message": "m", "code": 429}, 429, None),
        ({"message": "m", "code": "rate_limit_exceeded"}, 429, "rate_limit_exceeded"),
        ("m", 500, None),
    ],
)
def test_an_error_ends_the_stream(error: Any, status: int, code: str | None) -> None:
    found = decoded(CHAT, chunk(delta(content="a")) + chunk(error=error) + DONE)

    assert isinstance(found[-1], Failed)
    assert (found[-1].failure.message, found[-1].failure.status, found[-1].failure.code) == ("m", status, code)


def test_null_is_no_error_and_comments_are_signs_of_life() -> None:
    found = decoded(CHAT, b": WORKING\n\n" + chunk(delta(content="a", finish="stop"), error=None) + DONE)

    assert found[0] == Ping()
    assert isinstance(found[-1], End)


def test_what_is_odd_somewhere_is_read_elsewhere() -> None:
    odd = chunk(
        {"index": 0, "delta": {"content": "a", "refusal": 7, "tool_calls": "x"}, "finish_reason": "stop"}, model=1
    )

    assert gathered(decoded(CHAT, odd + DONE)).choices[0].blocks == (Text("a"),)


@pytest.mark.parametrize("translator", [CHAT, ANTHROPIC], ids=["chat", "anthropic"])
@pytest.mark.parametrize("data", [b"", b"words", b"[]", b"{", b'{"choices":' * 20_000])
def test_what_is_no_json_object_is_refused(translator: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        translator.decoder(SITTING).feed(b"data: " + data + b"\n\n")


def test_tools_get_their_own_names_back() -> None:
    sitting = Sitting(origin="o", renamed={"short": "a very long name"})
    raw = chunk(call("{}", "short", index=0, id="a")) + chunk(delta(finish="stop")) + DONE

    assert gathered(decoded(CHAT, raw, sitting=sitting)).choices[0].blocks == (ToolUse("a", "a very long name", "{}"),)


# --- Anthropic Messages ---------------------------------------------------------------------------------------------


def begun(usage: dict[str, Any] | None = None) -> bytes:
    return event("message_start", message={"id": "msg_1", "model": "c", "content": [], "usage": usage or {}})


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    raw = event("content_block_start", index=index, content_block=content)
    raw += b"".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
    return raw + event("content_block_stop", index=index)


def ended(reason: str = "end_turn", usage: dict[str, Any] | None = None) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage or {}) + event("message_stop")


def messages_blocks(*raw: bytes) -> list[Any]:
    return list(gathered(decoded(ANTHROPIC, begun() + b"".join(raw) + ended())).choices[0].blocks)


def test_every_kind_of_block_is_read() -> None:
    found = messages_blocks(
        block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "sig"},
        ),
        block(1, {"type": "redacted_thinking", "data": "enc"}),
        block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"}, {"type": "new_delta", "x": 1}),
        block(3, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
        block(
            4,
            {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"x"'},
            {"type": "input_json_delta", "partial_json": ":1}"},
        ),
    )

    assert found == [
        Reasoning("hm", Seal("sig", "someone")),
        Reasoning("", Seal("enc", "someone"), redacted=True),
        Text("a"),
        ToolUse("toolu_1", "f", ""),
        ToolUse("toolu_2", "g", '{"x":1}'),
    ]


def test_a_hosted_tool_s_call_is_gathered_whole() -> None:
    found = messages_blocks(
        block(
            0,
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"query":'},
            {"type": "input_json_delta", "partial_json": '"x"}'},
        ),
        block(1, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"}),
    )

    assert [msgspec.json.decode(found_one.data) for found_one in found if isinstance(found_one, Foreign)] == [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "compaction", "content": "short"},
    ]


def test_later_usage_replaces_what_it_names_though_it_be_less() -> None:
    raw = begun({"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 1, "service_tier": "standard"})
    raw += ended(usage={"input_tokens": 7, "cache_read_input_tokens": 0, "output_tokens": 9})
    noted = [piece for piece in decoded(ANTHROPIC, raw) if isinstance(piece, UsageNoted)]

    assert noted[-1].tier == "standard"
    usage = noted[-1].reported.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (7, 0, 9)


def test_pings_errors_and_unknown_events_are_what_they_are() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "busy"})
    found = decoded(ANTHROPIC, begun() + event("ping") + event("brand_new", x=1) + error + event("message_stop"))

    assert found[1:] == [Ping(), Failed(Failure("busy", 529, "overloaded_error"))]


def test_citations_keep_where_they_point() -> None:
    place = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "t",
        "cited_text": "w",
        "encrypted_index": "e",
    }
    raw = block(0, {"type": "text", "text": ""}, {"type": "citations_delta", "citation": place})
    cited = next(piece for piece in decoded(ANTHROPIC, begun() + raw + ended()) if isinstance(piece, Cited))

    assert (cited.citation.url, cited.citation.title, cited.citation.text) == ("https://a", "t", "w")
    assert cited.citation.own is not None
    assert msgspec.json.decode(cited.citation.own.data) == place


def test_a_second_message_start_says_nothing() -> None:
    found = decoded(ANTHROPIC, begun() + begun() + ended())

    assert len([piece for piece in found if isinstance(piece, Start)]) == 1


def test_a_cut_stream_is_not_finished() -> None:
    decoder = ANTHROPIC.decoder(SITTING)
    decoder.feed(begun())
    assert not decoder.finished
    chat = CHAT.decoder(SITTING)
    chat.feed(chunk(delta(content="a")))
    assert not chat.finished

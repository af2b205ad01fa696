"""A Response is whole from its first event on, and repeats what was asked."""

import pytest

from tollkeeper.core.conversation import (
    Citation,
    Conversation,
    CustomTool,
    Foreign,
    OutputFormat,
    Sampling,
    Thinking,
    Tool,
    ToolChoice,
)
from tollkeeper.core.deltas import Failure, StopReason
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects.openai_responses import items

ASKED = Conversation(
    dialect="openai_responses",
    model="m",
    turns=(),
    tools=(Tool("f", "d"), CustomTool("g"), Foreign("openai_responses", b'{"type":"web_search"}')),
    tool_choice=ToolChoice("required", ("g",)),
    parallel_tools=False,
    output=OutputFormat("schema", {"type": "object"}, "n"),
    thinking=Thinking("low", None, "auto"),
    sampling=Sampling(temperature=0.5, max_tokens=9),
    own={"metadata": {"a": "b"}},
)


def test_a_response_repeats_its_request() -> None:
    found = items.response("resp_1", 5, "m", ASKED, status="in_progress", output=[])

    assert [tool["type"] for tool in found["tools"]] == ["function", "custom", "web_search"]
    assert found["tool_choice"] == {
        "type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "g"}]
    }  # fmt: skip
    assert found["text"]["format"]["name"] == "n"
    assert (found["temperature"], found["top_p"], found["max_output_tokens"]) == (0.5, 1.0, 9)
    assert (found["reasoning"], found["parallel_tool_calls"]) == ({"effort": "low", "summary": "auto"}, False)
    assert (found["metadata"], found["error"], found["usage"]) == ({"a": "b"}, None, None)


def test_a_response_is_whole_though_nobody_knows_its_request() -> None:
    found = items.response("resp_1", 5, "m", None, status="failed", output=[], failure=Failure("m", 429))

    assert found["error"] == {"code": "server_error", "message": "m"}
    assert (found["tools"], found["tool_choice"], found["text"]) == ([], "auto", {"format": {"type": "text"}})


def test_usage_has_both_details() -> None:
    found = items.usage(Reported(Usage(input_tokens=5, cached_input_tokens=2, output_tokens=3), b"{}"))

    assert found == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }


@pytest.mark.parametrize(
    ("reason", "part", "expected"),
    [
        ("end", "output_text", ("completed", None)),
        ("tool", "output_text", ("completed", None)),
        ("length", "output_text", ("incomplete", "max_output_tokens")),
        ("filter", "output_text", ("incomplete", "content_filter")),
        ("refusal", "output_text", ("incomplete", "content_filter")),
        ("refusal", "refusal", ("completed", None)),
    ],
)
def test_how_it_ended_is_a_status(reason: StopReason, part: str, expected: tuple[str, str | None]) -> None:
    assert items.ended(reason, [items.message("m", [{"type": part}])]) == expected


def test_only_what_has_an_address_is_cited_in_other_dialects_words() -> None:
    own = Citation(own=Foreign("openai_responses", b'{"type":"file_citation"}'))

    assert items.annotation(own, 0, 1) == {"type": "file_citation"}
    assert items.annotation(Citation(title="book"), 0, 1) is None

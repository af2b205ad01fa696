"""Anthropic's usage in our normal form: caches in the input, iterations summed, nothing counted twice."""

import json
from typing import Any

import pytest

from tollkeeper.core.usage import Usage
from tollkeeper.dialects.anthropic_messages import usage


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 2}, Usage(input_tokens=5, output_tokens=2)),
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2,
             "output_tokens_details": {"thinking_tokens": 1}},
            Usage(input_tokens=12, cached_input_tokens=4, cache_write_tokens=3, output_tokens=2, reasoning_tokens=1),
        ),
        (
            {"input_tokens": 5, "output_tokens": 2, "iterations": [
                {"type": "compaction", "input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 7},
                {"type": "message", "input_tokens": 5, "output_tokens": 2},
            ]},
            Usage(input_tokens=114, cached_input_tokens=100, output_tokens=9),
        ),
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 30, "output_tokens": 2,
             "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
            Usage(input_tokens=35, cache_write_tokens=30, cache_write_1h_tokens=20, output_tokens=2),
        ),
        (
            {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1}},
            Usage(input_tokens=5, output_tokens=2, web_searches=3),
        ),
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 0, "output_tokens": 2,
             "cache_creation": {"ephemeral_1h_input_tokens": 20}},
            Usage(input_tokens=5, output_tokens=2),
        ),
        (
            {"input_tokens": 5, "output_tokens": 2, "iterations": [
                {"input_tokens": 9, "cache_creation_input_tokens": 8, "output_tokens": 7,
                 "cache_creation": {"ephemeral_1h_input_tokens": 3}},
                {"input_tokens": 5, "cache_creation_input_tokens": 1, "output_tokens": 2,
                 "cache_creation": {"ephemeral_1h_input_tokens": 1}},
            ]},
            Usage(input_tokens=23, cache_write_tokens=9, cache_write_1h_tokens=4, output_tokens=9),
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens": -1}, Usage(input_tokens=5)),
        ({"input_tokens": "5", "output_tokens": 2}, Usage(output_tokens=2)),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_usage_is_read(raw: Any, expected: Usage | None) -> None:
    found = usage.reported(json.dumps(raw).encode())

    assert (found.usage if found is not None else None) == expected


def test_later_figures_lie_over_earlier_ones() -> None:
    merged = usage.merged(
        b'{"input_tokens":5,"output_tokens":1,"tier":"x"}', b'{"output_tokens":9,"input_tokens":null}'
    )

    assert json.loads(merged) == {"input_tokens": 5, "output_tokens": 9, "tier": "x"}
    assert usage.merged(None, b"{}") == b"{}"
    assert usage.merged(b"broken", b"{}") == b"{}"


@pytest.mark.parametrize(
    "more",
    [
        "",
        ',"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":1}',
        ',"server_tool_use":{"web_search_requests":2}',
    ],
)
def test_what_is_written_is_read_again(more: str) -> None:
    found = usage.reported(
        b'{"input_tokens":5,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":2%b}'
        % more.encode()
    )

    again = usage.reported(json.dumps(usage.rendered(found)).encode())
    assert again is not None
    assert found is not None
    assert again.usage == found.usage

"""What Anthropic's requests can cost at most."""

import json
from typing import Any

import msgspec
import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.dialects.anthropic_messages import DIALECT
from tollkeeper.providers.openai import PROVIDER


def members(**found: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def user(block: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [block]}


@pytest.mark.parametrize(
    ("found", "elsewhere", "output"),
    [
        ({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}, False, 9),
        ({"messages": [user({"type": "text", "text": "hi"})]}, False, None),
        ({"messages": [user({"type": "image"})]}, True, None),
        ({"messages": [user({"type": "tool_result", "content": "x"})]}, False, None),
        ({"messages": [user({"type": "tool_result", "content": [{"type": "image"}]})]}, True, None),
        ({"messages": [], "tools": [{"name": "f", "input_schema": {}}]}, False, None),
        ({"messages": [], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}, True, None),
        ({"messages": [], "mcp_servers": []}, True, None),
        ({"messages": 5}, True, None),
        ({}, True, None),
    ],
)  # fmt: skip
def test_what_a_request_can_cost(found: dict[str, Any], elsewhere: bool, output: int | None) -> None:
    bounds = DIALECT.bounds("messages", members(**found), 100, PROVIDER)

    assert (bounds.elsewhere, bounds.output_tokens, bounds.stated) == (elsewhere, output, output is not None)
    assert bounds.input_tokens > 100


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(CallerError):
        DIALECT.bounds("messages", members(max_tokens="many"), 100, PROVIDER)

"""Models and counts in Anthropic's form."""

import json

from tollkeeper.dialects.anthropic_messages import listing


def test_models_are_listed_on_one_page() -> None:
    found = json.loads(listing.models([{"id": "claude-x", "created": 1_700_000_000}, {"id": "gpt-y", "created": None}]))

    assert found["data"][0] == {
        "type": "model", "id": "claude-x", "display_name": "claude-x", "created_at": "2023-11-14T22:13:20Z"
    }  # fmt: skip
    assert (found["has_more"], found["first_id"], found["last_id"]) == (False, "claude-x", "gpt-y")
    assert json.loads(listing.models([]))["first_id"] is None


def test_a_count_comes_back() -> None:
    assert listing.counted(listing.count(7)) == 7
    assert listing.counted(b"{}") is None

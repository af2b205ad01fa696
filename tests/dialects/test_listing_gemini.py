"""Models and counts in Gemini's form."""

import json

from tollkeeper.dialects.gemini_generate import listing


def test_models_are_listed_on_one_page() -> None:
    (found,) = json.loads(listing.models([{"id": "gpt-y", "created": None}]))["models"]

    assert (found["name"], found["displayName"]) == ("models/gpt-y", "gpt-y")
    assert "generateContent" in found["supportedGenerationMethods"]


def test_a_count_comes_back() -> None:
    assert json.loads(listing.count(7)) == {"totalTokens": 7}
    assert listing.counted(listing.count(7)) == 7
    assert listing.counted(b"{}") is None

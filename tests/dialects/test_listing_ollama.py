"""Models in Ollama's form."""

import json

from tollkeeper.dialects.ollama_chat import listing


def test_models_are_listed_with_a_digest_each() -> None:
    found = json.loads(listing.tags([{"id": "a", "created": 1_700_000_000}, {"id": "b", "created": None}]))["models"]

    assert [model["name"] for model in found] == [model["model"] for model in found] == ["a", "b"]
    assert found[0]["modified_at"] == "2023-11-14T22:13:20Z"
    assert len({model["digest"] for model in found if len(model["digest"]) == 64}) == 2

"""What ai-proxy-multi needs in order to choose by meaning; how it chooses is tested through the door, with the plugin."""

from typing import Any

import pytest

from tollkeeper.routes import semantic_balancing
from tollkeeper.routes.json_schema import wrong

EMBEDDINGS = {"provider": "openai", "model": "text-embedding-3-small"}


def conf(*instances: dict[str, Any], **options: Any) -> dict[str, Any]:
    made = [{"name": f"i{number}", "weight": 1, "examples": ["a"], **each} for number, each in enumerate(instances)]
    return {"instances": made, "semantic_opts": {"embeddings": EMBEDDINGS, **options}}


def test_an_instance_that_is_the_fallback_has_examples_like_others() -> None:
    semantic_balancing.check(conf({}, {}, fallback="i1", threshold=0.6, debugging=True))
    without = conf({}, {}, fallback="i1")
    del without["instances"][1]["examples"]
    with pytest.raises(ValueError, match="instance i1: examples are required"):
        semantic_balancing.check(without)


def test_what_is_missing_or_too_much_is_told() -> None:
    with pytest.raises(ValueError, match=r"semantic_opts\.embeddings is required"):
        semantic_balancing.check({"instances": conf({})["instances"]})
    for fallback in ("other", "i1"):
        with pytest.raises(ValueError, match=f"names no instance with a weight: {fallback}"):
            semantic_balancing.check(conf({}, {"weight": 0}, fallback=fallback))
    semantic_balancing.check(conf(*[{"examples": ["x"] * 64}] * 8))
    with pytest.raises(ValueError, match="513 examples, of 512 at most"):
        semantic_balancing.check(conf(*[{"examples": ["x"] * 64}] * 8, {}))


def test_the_bounds_of_examples_and_thresholds_are_in_the_schemas() -> None:
    examples, threshold = (semantic_balancing.FIELDS[name] for name in ("examples", "threshold"))
    assert wrong(["x"] * 64, examples) is None
    for bad in ([], ["x"] * 65, [""], [1]):
        assert wrong(bad, examples) is not None
    assert [wrong(each, threshold) is None for each in (-1, 0.5, 1, 1.1, "0.5")] == [True, True, True, False, False]

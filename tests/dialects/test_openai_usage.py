"""Usage objects of OpenAI and of those who imitate it, each counted once, in one normal form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.json_objects import VALUES
from kit.properties import examples
from tollkeeper.core.usage import Usage
from tollkeeper.dialects import openai_usage

DETAILS = [f"{of}_tokens_details" for of in ("prompt", "completion", "input", "output")]
PLAIN = [f"{of}_tokens" for of in ("prompt", "completion", "input", "output", "total", "cached")]
FIELDS = st.sampled_from([*PLAIN, *DETAILS, "seconds"])
COUNTS = st.integers(0, 10**6)
SMALL = st.integers(-1, 12)
EXTREME = st.sampled_from([2**53, 2**63, 10**30])


def usage_of(said: Any) -> Usage | None:
    found = openai_usage.reported(json.dumps(said).encode())
    return found.usage if found is not None else None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 20},
                "completion_tokens_details": {
                    "reasoning_tokens": 30,
                    "audio_tokens": 5,
                    "rejected_prediction_tokens": 7,
                },
            },
            Usage(
                input_tokens=100,
                cached_input_tokens=60,
                cache_write_tokens=10,
                audio_input_tokens=20,
                output_tokens=50,
                reasoning_tokens=30,
                audio_output_tokens=5,
            ),
            id="chat",
        ),
        pytest.param(
            {
                "input_tokens": 36,
                "output_tokens": 87,
                "total_tokens": 123,
                "input_tokens_details": {"cached_tokens": 8},
                "output_tokens_details": {"reasoning_tokens": 64},
            },
            Usage(input_tokens=36, cached_input_tokens=8, output_tokens=87, reasoning_tokens=64),
            id="responses",
        ),
        pytest.param({"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8), id="embeddings"),
        pytest.param({"total_tokens": 9}, Usage(input_tokens=9), id="a total alone"),
        pytest.param(
            {"type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 14}, "output_tokens": 3},
            Usage(input_tokens=14, audio_input_tokens=14, output_tokens=3),
            id="transcription",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            Usage(input_tokens=10, cached_input_tokens=6, output_tokens=2),
            id="deepseek",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 6},
            Usage(input_tokens=10, cached_input_tokens=6, output_tokens=2),
            id="moonshot",
        ),
        pytest.param(
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 303,
                "completion_tokens_details": {"reasoning_tokens": 290},
            },
            Usage(input_tokens=12, output_tokens=291, reasoning_tokens=290),
            id="xai leaves reasoning out of the completion",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 105},
            Usage(input_tokens=9, output_tokens=96, reasoning_tokens=93),
            id="gemini names thoughts in the total only",
        ),
        pytest.param(
            {
                "prompt_tokens": 43,
                "completion_tokens": 10,
                "total_tokens": 53,
                "completion_tokens_details": {"reasoning_tokens": 11},
            },
            Usage(input_tokens=43, output_tokens=10, reasoning_tokens=11),
            id="openrouter counts reasoning with another tokenizer",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 90}},
            Usage(input_tokens=90, cached_input_tokens=90, output_tokens=1),
            id="a part cannot be greater than the whole",
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": None, "prompt_tokens_details": None},
            Usage(input_tokens=5),
            id="nulls",
        ),
        pytest.param({"prompt_tokens": 5.0, "completion_tokens": 0}, Usage(input_tokens=5), id="a float that is whole"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 2}, Usage(output_tokens=2), id="a negative count"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": -2}, Usage(input_tokens=3), id="another negative count"),
        pytest.param(
            {
                "prompt_tokens": 3,
                "completion_tokens": 5,
                "total_tokens": 8,
                "prompt_tokens_details": {"audio_tokens": 10**30},
            },
            Usage(input_tokens=3, output_tokens=5),
            id="an absurd detail",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 20,
                "total_tokens": 100,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input_tokens=10, output_tokens=20, reasoning_tokens=5),
            id="a total that nothing explains",
        ),
        pytest.param(
            {"prompt_tokens": 8, "total_tokens": 9}, Usage(input_tokens=8), id="embeddings with a larger total"
        ),
        pytest.param({"prompt_tokens": True, "completion_tokens": 2}, Usage(output_tokens=2), id="a boolean"),
        pytest.param({"prompt_tokens": 2**60, "completion_tokens": 2}, Usage(output_tokens=2), id="an absurd count"),
        pytest.param(
            {"completion_tokens": 5, "total_tokens": 100},
            Usage(input_tokens=95, output_tokens=5),
            id="no prompt",
        ),
        pytest.param({"type": "duration", "seconds": 3}, None, id="a duration"),
        pytest.param({}, None, id="an empty object"),
        pytest.param(None, None, id="null"),
        pytest.param([1], None, id="a list"),
    ],
)
def test_usage_in_normal_form(said: Any, expected: Usage | None) -> None:
    assert expected == usage_of(said)


def test_the_very_bytes_are_kept() -> None:
    raw = b'{ "prompt_tokens":1,"completion_tokens" : 2 , "cost":0.1}'
    found = openai_usage.reported(raw)

    assert found is not None
    assert found.raw == raw


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a":' * 20_000 + b"1" + b"}" * 20_000])
def test_what_is_not_json_reports_nothing(raw: bytes) -> None:
    assert openai_usage.reported(raw) is None


@given(st.dictionaries(FIELDS, VALUES | COUNTS | st.dictionaries(FIELDS, COUNTS | VALUES, max_size=3), max_size=6))
@examples(200)
def test_whatever_a_provider_says_parts_of_the_input_fit_into_it(said: dict[str, Any]) -> None:
    usage = usage_of(said)

    if usage is not None:
        assert all(0 <= count < 2**54 for count in (getattr(usage, name) for name in usage.__struct_fields__))
        assert usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens


@given(COUNTS, COUNTS, st.data())
@examples(150)
def test_a_total_that_adds_up_changes_nothing(prompt: int, completion: int, data: st.DataObject) -> None:
    reasoning = data.draw(st.integers(0, completion))
    said = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }

    assert usage_of({**said, "total_tokens": prompt + completion}) == usage_of(said)
    assert usage_of(said) == Usage(input_tokens=prompt, output_tokens=completion, reasoning_tokens=reasoning)


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": SMALL, "completion_tokens": SMALL, "total_tokens": SMALL},
        optional={
            "prompt_tokens_details": st.dictionaries(
                st.sampled_from(["cached_tokens", "audio_tokens"]), SMALL | EXTREME
            ),
            "completion_tokens_details": st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), SMALL),
        },
    ),
    st.booleans(),
)
@examples(400)
def test_the_short_way_for_ordinary_usage_tells_what_the_long_way_tells(said: dict[str, Any], adds_up: bool) -> None:
    if adds_up:
        said["total_tokens"] = said["prompt_tokens"] + said["completion_tokens"]
    raw = json.dumps(said).encode()

    assert openai_usage.reported(raw) == openai_usage._odd(raw)

"""What a call is taken to cost before anybody knows."""

import base64
import json
import os
from typing import Any

import pytest

from kit.calls import call, key
from tollkeeper.core.call import Upload
from tollkeeper.policies.limits.estimates import A_FILE, input_tokens, output_tokens

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def asking(**fields: Any) -> Any:
    return call(key(), {**CHAT, **fields})


def test_input_is_a_quarter_of_the_bytes_rounded_up() -> None:
    asked = asking(pad="x" * 1000)
    assert isinstance(asked.body, bytes)

    assert input_tokens(asked) == -(-len(asked.body) // 4)


def test_a_picture_is_not_taken_for_text() -> None:
    picture = base64.b64encode(os.urandom(2_000_000)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    asked = asking(messages=[{"role": "user", "content": [part, part, {"type": "text", "text": "What is it?"}]}])

    assert 2 * A_FILE < input_tokens(asked) < 2 * A_FILE + 100


@pytest.mark.parametrize("text", ["word " * 20_000, "汉" * 20_000, "\\\\u6c49" * 20_000])
def test_a_long_text_that_speaks_of_base64_stays_a_text(text: str) -> None:
    for ascii_only in (True, False):
        body = json.dumps({**CHAT, "note": "base64", "text": text}, ensure_ascii=ascii_only).encode()
        asked = call(key(), CHAT)
        asked.body = body

        assert input_tokens(asked) == -(-len(body) // 4)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_output_is_what_the_request_allows_itself(name: str) -> None:
    assert output_tokens(asking(**{name: 77}), 256) == 77
    assert output_tokens(asking(**{name: 77, "n": 3}), 256) == 231
    assert output_tokens(asking(**{name: 0}), 256) == 0


@pytest.mark.parametrize("most", [None, "77", -1, 1.5, True, [], 10**12])
def test_a_bound_that_is_none_is_not_believed(most: Any) -> None:
    assert output_tokens(asking(max_tokens=most), 256) == 256


def test_a_request_without_a_bound_is_taken_to_be_like_those_before() -> None:
    assert output_tokens(asking(), 300) == 300


def test_what_gives_no_text_has_no_output() -> None:
    assert output_tokens(call(key(), {"model": "m", "input": "x"}, path="embeddings"), 256) == 0


def test_what_is_not_metered_takes_no_tokens() -> None:
    asked = asking(max_tokens=50)
    asked.metered = False

    assert (input_tokens(asked), output_tokens(asked, 256)) == (0, 0)


def test_a_file_that_is_passed_on_as_it_comes_has_no_known_input() -> None:
    async def nothing() -> Any:
        yield b""

    asked = call(key(), {"model": "m"}, path="audio/transcriptions")
    asked.body = Upload(nothing(), 5_000_000)

    assert input_tokens(asked) == 0

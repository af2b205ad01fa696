"""OpenAI's embeddings: every kind of input, floats and packed floats."""

import base64
import json
import struct
from typing import Any

import pytest

from tollkeeper.core.embedding import Texts, Vectors
from tollkeeper.core.errors import CallerError
from tollkeeper.dialects.openai_embeddings import EMBEDDER


def read(**members: Any) -> Texts:
    return EMBEDDER.read_request(json.dumps({"model": "m", **members}).encode(), "embeddings")


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3)))],
)
def test_inputs_are_read(given: Any, inputs: Any) -> None:
    assert read(input=given).inputs == inputs


@pytest.mark.parametrize("given", [None, 7, [], ["", 1], [[]], [True], {"a": 1}])
def test_other_inputs_are_refused(given: Any) -> None:
    with pytest.raises(CallerError) as caught:
        read(input=given)
    assert caught.value.param == "input"


def test_who_wants_floats_packed_gets_them_packed() -> None:
    asked = read(input="a", encoding_format="base64")
    (found,) = json.loads(EMBEDDER.render_answer(Vectors(vectors=((0.5, -1.0),)), asked, "m"))["data"]

    assert struct.unpack("<2f", base64.b64decode(found["embedding"])) == (0.5, -1.0)
    with pytest.raises(CallerError):
        read(input="a", encoding_format="hex")


def test_vectors_stand_in_the_order_of_their_indexes() -> None:
    data = [{"embedding": [2.0], "index": 1}, {"embedding": [1.0], "index": 0}]

    assert EMBEDDER.read_answer(json.dumps({"data": data}).encode()).vectors == ((1.0,), (2.0,))


@pytest.mark.parametrize("text", ["!", "QQ=="])
def test_a_vector_that_is_no_base64_of_floats_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no base64"):
        EMBEDDER.read_answer(json.dumps({"data": [{"embedding": text}]}).encode())

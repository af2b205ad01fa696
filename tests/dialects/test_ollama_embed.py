"""Ollama's embeddings, of the newer and the older endpoint."""

import json

import pytest

from tollkeeper.core.embedding import Vectors
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Terms
from tollkeeper.dialects.ollama_embed import EMBEDDER
from tollkeeper.dialects.openai_embeddings import EMBEDDER as OPENAI

TERMS = Terms(model="m", origin="o")


def test_the_older_endpoint_takes_one_prompt() -> None:
    asked = EMBEDDER.read_request(b'{"model":"m","prompt":"a"}', "api/embeddings")

    assert (asked.inputs, asked.single) == (("a",), True)
    assert json.loads(EMBEDDER.render_answer(Vectors(vectors=((0.5,),)), asked, "m")) == {"embedding": [0.5]}


@pytest.mark.parametrize(("given", "inputs"), [('"a"', ("a",)), ('["a","b"]', ("a", "b"))])
def test_the_newer_one_takes_several(given: str, inputs: tuple[str, ...]) -> None:
    asked = EMBEDDER.read_request(b'{"model":"m","input":%b}' % given.encode(), "api/embed")

    assert (asked.inputs, asked.single) == (inputs, False)
    answered = json.loads(EMBEDDER.render_answer(Vectors(vectors=((0.5,),)), asked, "m"))
    assert answered == {"model": "m", "embeddings": [[0.5]]}


@pytest.mark.parametrize(("path", "param"), [("api/embed", "input"), ("api/embeddings", "prompt")])
def test_nothing_is_not_embedded(path: str, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        EMBEDDER.read_request(b'{"model":"m"}', path)
    assert caught.value.param == param


def test_how_the_model_is_kept_may_be_left_out_even_where_terms_are_strict() -> None:
    strict = Terms(model="m", origin="o", strict=True)
    asked = EMBEDDER.read_request(b'{"model":"m","input":"a","keep_alive":0}', "api/embed")

    assert OPENAI.render_request(asked, strict).dropped == ("keep_alive",)
    with pytest.raises(CallerError) as caught:
        OPENAI.render_request(EMBEDDER.read_request(b'{"input":"a","truncate":false}', "api/embed"), strict)
    assert caught.value.param == "truncate"

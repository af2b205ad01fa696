"""Gemini's embeddings: one text, several, both spellings."""

import json
from typing import Any

import pytest

from tollkeeper.core.embedding import Texts, Vectors
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Terms
from tollkeeper.dialects.gemini_embed import EMBEDDER
from tollkeeper.dialects.openai_embeddings import EMBEDDER as OPENAI

TERMS = Terms(model="m", origin="o")


def read(method: str, **members: Any) -> Texts:
    return EMBEDDER.read_request(json.dumps(members).encode(), f"models/gemini-embedding-001:{method}")


def content(*parts: Any) -> Any:
    return {"parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


@pytest.mark.parametrize("spelling", ["outputDimensionality", "output_dimensionality"])
def test_one_text_is_read_and_one_vector_answered(spelling: str) -> None:
    asked = read("embedContent", content=content("a", "b"), **{spelling: 8})

    assert (asked.model, asked.inputs, asked.dimensions, asked.single) == ("gemini-embedding-001", ("a\nb",), 8, True)
    answered = EMBEDDER.render_answer(Vectors(vectors=((0.5,),)), asked, "m")
    assert json.loads(answered) == {"embedding": {"values": [0.5]}}


def test_several_are_read_and_answered() -> None:
    requests = [{"model": "models/m", "content": content(text), "taskType": "CLUSTERING"} for text in "ab"]
    asked = read("batchEmbedContents", requests=requests)

    assert (asked.inputs, asked.own, asked.essential) == (("a", "b"), {"taskType": "CLUSTERING"}, ())
    assert json.loads(EMBEDDER.render_answer(Vectors(vectors=((1.0,),)), asked, "m")) == {
        "embeddings": [{"values": [1.0]}]
    }


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (
            lambda: read("embedContent", content=content({"inlineData": {"mimeType": "image/png", "data": ""}})),
            "content.parts.inlineData",
        ),
        (
            lambda: read(
                "batchEmbedContents",
                requests=[{"content": content("a")}, {"content": content("b"), "outputDimensionality": 8}],
            ),
            "requests",
        ),
    ],
)
def test_what_would_change_the_vectors_is_refused_to_others(asked: Any, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        OPENAI.render_request(asked(), TERMS)
    assert caught.value.param == param


@pytest.mark.parametrize(("method", "param"), [("embedContent", "content"), ("batchEmbedContents", "requests")])
def test_what_is_missing_is_named(method: str, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        read(method)
    assert caught.value.param == param

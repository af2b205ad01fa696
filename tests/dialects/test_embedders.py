"""Texts to be embedded and their vectors survive every way through the dialects."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.deltas import Failure
from tollkeeper.core.embedding import Embedder, Texts, Vectors
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Terms
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects.embedders import EMBEDDERS

TERMS = Terms(model="model-1", origin="someone")
NAMES = list(EMBEDDERS)
VECTORS = st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3)


def texts(dialect: str, **members: Any) -> Texts:
    return Texts(dialect=dialect, model="m", **{"inputs": ("a", "b"), **members})


@pytest.mark.parametrize(("client", "provider"), list(product(NAMES, NAMES)))
@examples(30)
@given(inputs=st.lists(st.text(), min_size=1, max_size=3).map(tuple), dimensions=st.none() | st.integers(1, 4096))
def test_a_request_says_the_same_to_every_provider(
    client: str, provider: str, inputs: tuple[str, ...], dimensions: int | None
) -> None:
    there = EMBEDDERS[provider]
    rendered = there.render_request(texts(client, inputs=inputs, dimensions=dimensions), TERMS)
    read = there.read_request(rendered.body, rendered.path)

    assert (read.model or "").removeprefix("models/") in ("model-1", "")
    assert (read.inputs, read.dimensions, read.essential) == (inputs, dimensions, ())
    assert rendered.dropped == ()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("client", "provider"), list(product(NAMES, NAMES)))
@examples(30)
@given(vectors=VECTORS, tokens=st.integers(0, 10**6))
def test_vectors_and_usage_reach_every_client(
    client: str, provider: str, packed: bool, vectors: list[tuple[float, ...]], tokens: int
) -> None:
    here, there = EMBEDDERS[client], EMBEDDERS[provider]
    given = Vectors(vectors=tuple(vectors), model="m", reported=Reported(Usage(input_tokens=tokens), b"{}"))
    asked = texts(client, packed=packed)
    found = there.read_answer(there.render_answer(given, texts(provider), "m"))
    told = here.read_answer(here.render_answer(found, asked, "m"))

    assert told.vectors == given.vectors
    assert told.reported is not None
    assert told.reported.usage == Usage(input_tokens=tokens)


@pytest.mark.parametrize("embedder", EMBEDDERS.values(), ids=NAMES)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":7}', b'{"embedding":"x"}', b"[" * 10_000])
def test_what_has_no_vectors_is_no_answer(embedder: Embedder, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        embedder.read_answer(body)


@pytest.mark.parametrize("embedder", EMBEDDERS.values(), ids=NAMES)
def test_errors_keep_their_words(embedder: Embedder) -> None:
    assert embedder.read_error(429, embedder.render_failure(Failure("slow", 429))).message == "slow"


@pytest.mark.parametrize("name", ["gemini_embed", "ollama_embed"])
def test_tokens_and_end_users_do_not_reach_those_who_have_no_word_for_them(name: str) -> None:
    asked = texts("openai_embeddings", end_user="ann", words={"end_user": "user"})

    assert EMBEDDERS[name].render_request(asked, TERMS).dropped == ("user",)
    with pytest.raises(CallerError) as caught:
        EMBEDDERS[name].render_request(texts("openai_embeddings", inputs=((1, 2),)), TERMS)
    assert caught.value.param in ("input", "content")


@pytest.mark.parametrize("provider", NAMES)
def test_what_only_one_dialect_knows_is_named_to_the_others(provider: str) -> None:
    asked = EMBEDDERS["gemini_embed"].read_request(
        json.dumps({"content": {"parts": [{"text": "a"}]}, "task_type": "RETRIEVAL_QUERY"}).encode(),
        "models/m:embedContent",
    )
    rendered = EMBEDDERS[provider].render_request(asked, TERMS)

    if provider == "gemini_embed":
        assert b"RETRIEVAL_QUERY" in rendered.body
    assert rendered.dropped == (() if provider == "gemini_embed" else ("taskType",))

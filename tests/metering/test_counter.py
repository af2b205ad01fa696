"""Tokens are counted as OpenAI counts them, without a network, and no text makes the counting fail."""

import gzip
import hashlib
from importlib import resources
from typing import Any

import pytest
import tiktoken
import tiktoken.model
from tiktoken_ext import openai_public

from tollkeeper import metering
from tollkeeper.metering import counter
from tollkeeper.metering.counter import TokenCounter, encoding_name

ENCODINGS = ("cl100k_base", "o200k_base")


@pytest.fixture(scope="module")
def count() -> TokenCounter:
    return TokenCounter()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """tiktoken's own definitions, with the hash of each rank file in the place of its ranks."""
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda url, expected_hash: expected_hash)
    return {name: getattr(openai_public, name)() for name in ENCODINGS}


@pytest.mark.parametrize("name", ENCODINGS)
def test_ranks_and_patterns_are_those_that_tiktoken_pins(name: str, published: dict[str, dict[str, Any]]) -> None:
    ranks = gzip.decompress(resources.files(metering).joinpath(f"{name}.tiktoken.gz").read_bytes())

    assert hashlib.sha256(ranks).hexdigest() == published[name]["mergeable_ranks"]
    assert counter._PATTERNS[name] == published[name]["pat_str"]


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [
        # https://github.com/openai/tiktoken and https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
        ("hello world", 2, 2),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
        ("", 0, 0),
    ],
)
def test_counts_are_the_published_ones(count: TokenCounter, text: str, cl100k: int, o200k: int) -> None:
    assert count("gpt-4", text) == cl100k
    assert count("gpt-4o", text) == o200k


def test_special_tokens_are_read_as_text(count: TokenCounter) -> None:
    assert count("gpt-4o", "<|endoftext|>") > 1


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
@pytest.mark.parametrize("unit", [" ", "\t", "\n", "x", "9", "é", "\u3000", "\ud800"])
def test_a_long_run_of_anything_is_counted(count: TokenCounter, model: str, unit: str) -> None:
    assert count(model, unit * 100_000) > 0


def test_a_million_spaces_are_counted(count: TokenCounter) -> None:
    assert count("gpt-4o", " " * 1_000_000) > 0


def test_a_text_counts_the_same_in_pieces(count: TokenCounter) -> None:
    words = "The quick brown fox, it's said, jumps over 12345 lazy dogs — naïvely!\n    Again and again. "
    text = words * 3000
    whole = count._encoding("o200k_base").encode_ordinary(text)

    assert count("gpt-4o", text) == len(whole)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("ft:gpt-3.5-turbo-0125:org::id", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("davinci-002", "cl100k_base"),
        ("text-davinci-003", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("o1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("claude-opus-5-5", "o200k_base"),
        ("", "o200k_base"),
        (None, "o200k_base"),
    ],
)
def test_each_model_has_its_encoding(model: str | None, expected: str) -> None:
    assert expected == encoding_name(model)


def test_every_model_that_tiktoken_lists_gets_its_encoding_or_the_nearest() -> None:
    listed = {**tiktoken.model.MODEL_TO_ENCODING, **tiktoken.model.MODEL_PREFIX_TO_ENCODING}

    assert {encoding_name(model) for model in listed} == set(ENCODINGS)
    assert all(encoding_name(model) == name for model, name in listed.items() if name in ENCODINGS)


def test_encodings_are_made_once_and_only_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Counted(tiktoken.Encoding):
        def __init__(self, name: str, **fields: Any) -> None:
            made.append(name)
            super().__init__(name, **fields)

    monkeypatch.setattr(tiktoken, "Encoding", Counted)
    fresh = TokenCounter()
    before = list(made)
    fresh("gpt-4o", "hello")
    fresh("gpt-5", "world")

    assert (before, made) == ([], ["o200k_base"])

"""What may be said of an embedding model."""

from typing import Any

import pytest

from tollkeeper.routes import embedding
from tollkeeper.routes.json_schema import wrong

HERE: dict[str, Any] = {"provider": "openai", "model": "text-embedding-3-small"}


def test_what_apisix_takes_is_taken() -> None:
    azure = "https://r.openai.azure.com/openai/deployments/emb/embeddings?api-version=2024-02-01"
    for conf in (
        HERE,
        HERE | {"auth": {"header": {"Authorization": "Bearer sk"}}, "timeout": 10000, "ssl_verify": True},
        HERE | {"provider": "azure-openai", "endpoint": azure, "auth": {"query": {"key": "k"}}},
        HERE | {"provider": "openai-compatible", "endpoint": "http://127.0.0.1:8000/v1/embeddings"},
    ):
        assert wrong(conf, embedding.SCHEMA) is None
        embedding.check(conf, "e")


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"provider": "openai"}, 'property "model" is required'),
        (HERE | {"provider": "anthropic"}, 'property "provider" validation failed: matches none of the enum values'),
        (HERE | {"auth": {"gcp": {}}}, 'property "auth" validation failed: additional properties forbidden, found gcp'),
        (HERE | {"endpoint": "host/v1/embeddings"}, 'property "endpoint" validation failed'),
        (HERE | {"ssl_verify": False}, 'property "ssl_verify" validation failed'),
        (HERE | {"timeout": 1}, 'property "timeout" validation failed'),
    ],
)
def test_what_cannot_be_is_refused_by_the_schema(conf: dict[str, Any], words: str) -> None:
    assert (wrong(conf, embedding.SCHEMA) or "").startswith(words)


def test_what_no_schema_can_say_is_refused_in_the_words_of_its_fields() -> None:
    with pytest.raises(ValueError, match=r"s\.endpoint is required for azure-openai provider"):
        embedding.check(HERE | {"provider": "azure-openai"}, "s")
    with pytest.raises(ValueError, match=r"s\.endpoint has no host"):
        embedding.check(HERE | {"endpoint": "http:///v1"}, "s")
    with pytest.raises(ValueError, match=r"s\.auth\.header: 'a b\\r' is no header"):
        embedding.check(HERE | {"auth": {"header": {"a b\r": "x"}}}, "s")


def test_many_texts_take_several_requests() -> None:
    assert [embedding.requests(count) for count in (1, 32, 33, 512)] == [1, 1, 2, 16]

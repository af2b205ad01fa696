"""Ollama's /api/embed and the older /api/embeddings, there and back (https://docs.ollama.com/api/embed)."""

from typing import Any

import msgspec

from tollkeeper.core.deltas import Failure
from tollkeeper.core.embedding import Texts, Vectors
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.ollama_chat import errors, usage

_HINTS = frozenset(("keep_alive", "options"))
"""How the model is kept in memory."""


class _Answer(usage.Counts):
    embeddings: list[list[float]] | None = None
    embedding: list[float] | None = None
    model: str | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class OllamaEmbed:
    """See `core.embedding.Embedder`."""

    name = "ollama_embed"
    prompt = ("input", "prompt")
    paths = ("api/embed", "api/embeddings")

    def read_request(self, body: bytes, path: str) -> Texts:
        fields = Fields.of_body(body)
        single = path.endswith("embeddings")
        inputs = [fields.needed("prompt")] if single else fields.list_of_strings("input")
        if not inputs:
            raise fields.refused("input", "is required", "missing_required_parameter")
        model, dimensions = fields.string("model"), fields.integer("dimensions")
        own = fields.rest()
        return Texts(
            dialect=self.name,
            model=model,
            inputs=tuple(inputs),
            dimensions=dimensions,
            single=single,
            own=own,
            hints=tuple(name for name in own if name in _HINTS),
        )

    def render_request(self, asked: Texts, terms: Terms) -> Rendered:
        losses = Losses(asked, terms, self.name)
        if asked.end_user is not None:
            losses.drop("end_user")
        if not all(isinstance(text, str) for text in asked.inputs):
            raise losses.refused("input", "it takes texts, not tokens")
        body: dict[str, Any] = {"model": terms.model, "input": asked.inputs}
        if asked.dimensions is not None:
            body["dimensions"] = asked.dimensions
        if asked.dialect == self.name:
            body |= asked.own
        return Rendered(path="api/embed", body=msgspec.json.encode(body), dropped=losses.dropped)

    def read_answer(self, body: bytes) -> Vectors:
        try:
            found = _decode(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        listed = found.embeddings if found.embedding is None else [found.embedding]
        if listed is None:
            raise ValueError("an answer without vectors")
        reported = usage.reported(usage.Counts(found.prompt_eval_count))
        return Vectors(vectors=tuple(tuple(vector) for vector in listed), model=found.model, reported=reported)

    def render_answer(self, found: Vectors, asked: Texts, model: str) -> bytes:
        if asked.single:
            return msgspec.json.encode({"embedding": found.vectors[0] if found.vectors else ()})
        body: dict[str, Any] = {"model": found.model or model, "embeddings": found.vectors}
        if found.reported is not None:
            body["prompt_eval_count"] = found.reported.usage.input_tokens
        return msgspec.json.encode(body)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


EMBEDDER = OllamaEmbed()

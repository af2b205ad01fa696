"""Gemini's embedContent and batchEmbedContents, there and back (https://ai.google.dev/api/embeddings)."""

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.deltas import Failure
from tollkeeper.core.embedding import Texts, Vectors
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.gemini_generate import errors, usage
from tollkeeper.dialects.gemini_generate.reading import model_and_method
from tollkeeper.dialects.gemini_generate.spelling import camel
from tollkeeper.dialects.losses import Losses

_WORDS = {"dimensions": "outputDimensionality", "input": "content"}


class _Values(Struct):
    values: list[float]


class _Answer(Struct):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usageMetadata: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Answer).decode


class GeminiEmbed:
    """See `core.embedding.Embedder`."""

    name = "gemini_embed"
    prompt = ("content", "requests")
    paths: tuple[str, ...] = ()

    def read_request(self, body: bytes, path: str) -> Texts:
        model, method = model_and_method(path)
        given = Fields.of_body(body)
        fields = Fields(camel(given.rest()))
        single = method == "embedContent"
        requests = [fields] if single else fields.objects("requests")
        if not requests:
            raise fields.refused("requests", "is required", "missing_required_parameter")
        texts, dimensions, own = [], [], []
        essential: list[str] = []
        for request in requests:
            request.skip("model")
            texts.append(_text(request, essential))
            dimensions.append(request.integer("outputDimensionality"))
            own.append(request.rest())
        alike = all(size == dimensions[0] for size in dimensions) and all(rest == own[0] for rest in own)
        return Texts(
            dialect=self.name,
            model=model,
            inputs=tuple(texts),
            dimensions=dimensions[0],
            single=single,
            own=own[0],
            essential=tuple(essential) if alike else (*essential, "requests"),
            unread=fields.unread,
            words=_WORDS,
        )

    def render_request(self, asked: Texts, terms: Terms) -> Rendered:
        losses = Losses(asked, terms, self.name)
        if asked.end_user is not None:
            losses.drop("end_user")
        shared: dict[str, Any] = {"model": f"models/{terms.model}"}
        if asked.dimensions is not None:
            shared["outputDimensionality"] = asked.dimensions
        if asked.dialect == self.name:
            shared |= asked.own
        requests = []
        for text in asked.inputs:
            if not isinstance(text, str):
                raise losses.refused("input", "it takes texts, not tokens")
            requests.append({**shared, "content": {"parts": [{"text": text}]}})
        path = f"models/{quote(terms.model, safe='')}:batchEmbedContents"
        return Rendered(path=path, body=msgspec.json.encode({"requests": requests}), dropped=losses.dropped)

    def read_answer(self, body: bytes) -> Vectors:
        try:
            found = _decode(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        listed = found.embeddings if found.embedding is None else [found.embedding]
        if listed is None:
            raise ValueError("an answer without vectors")
        noted = None if found.usageMetadata is UNSET else usage.reported(bytes(found.usageMetadata))
        vectors = tuple(tuple(vector.values) for vector in listed)
        return Vectors(vectors=vectors, reported=None if noted is None else noted[0])

    def render_answer(self, found: Vectors, asked: Texts, model: str) -> bytes:
        vectors = [{"values": vector} for vector in found.vectors]
        body: dict[str, Any] = {"embedding": vectors[0]} if asked.single and vectors else {"embeddings": vectors}
        if found.reported is not None:
            body["usageMetadata"] = {"promptTokenCount": found.reported.usage.input_tokens}
        return msgspec.json.encode(body)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


def _text(request: Fields, essential: list[str]) -> str:
    """The words of all parts; what is no text is noted as essential."""
    content = request.object("content")
    if content is None:
        raise request.refused("content", "is required", "missing_required_parameter")
    texts = []
    for part in content.objects("parts"):
        text = part.string("text")
        if text is not None:
            texts.append(text)
        essential += [f"{part.path}.{name}" for name in part.rest()]
    content.skip("role")
    content.close()
    return "\n".join(texts)


EMBEDDER = GeminiEmbed()

"""OpenAI's embeddings, there and back (https://platform.openai.com/docs/api-reference/embeddings/create)."""

import base64
import binascii
import struct
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.deltas import Failure
from tollkeeper.core.embedding import Texts, Vectors
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects import openai_usage
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.openai_chat import errors

_WORDS = {"end_user": "user"}
_FLOAT = 4


class _Vector(Struct):
    embedding: list[float] | str
    index: int | None = None


class _Answer(Struct):
    data: list[_Vector]
    model: str | None = None
    usage: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Answer).decode


class OpenAIEmbeddings:
    """See `core.embedding.Embedder`."""

    name = "openai_embeddings"
    prompt = ("input",)
    paths: tuple[str, ...] = ()

    def read_request(self, body: bytes, path: str) -> Texts:
        fields = Fields.of_body(body)
        form = fields.string("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise fields.refused("encoding_format", "must be float or base64", "invalid_value")
        return Texts(
            dialect=self.name,
            model=fields.string("model"),
            inputs=_inputs(fields),
            dimensions=fields.integer("dimensions"),
            packed=form == "base64",
            end_user=fields.string("user"),
            own=fields.rest(),
            words=_WORDS,
        )

    def render_request(self, asked: Texts, terms: Terms) -> Rendered:
        """Floats are asked for: not every server packs them. Whose client wants them packed gets them so from us."""
        losses = Losses(asked, terms, self.name)
        body: dict[str, Any] = {"model": terms.model, "input": asked.inputs, "encoding_format": "float"}
        if asked.dimensions is not None:
            body["dimensions"] = asked.dimensions
        if asked.end_user is not None:
            body["user"] = asked.end_user
        if asked.dialect == self.name:
            body |= asked.own
        return Rendered(path="embeddings", body=msgspec.json.encode(body), dropped=losses.dropped)

    def read_answer(self, body: bytes) -> Vectors:
        try:
            found = _decode(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        placed = sorted(enumerate(found.data), key=lambda item: item[0] if item[1].index is None else item[1].index)
        reported = None if found.usage is UNSET else openai_usage.reported(bytes(found.usage))
        vectors = tuple(_unpacked(vector.embedding) for _, vector in placed)
        return Vectors(vectors=vectors, model=found.model, reported=reported)

    def render_answer(self, found: Vectors, asked: Texts, model: str) -> bytes:
        """Typed clients break without `usage`: where nobody reported or counted any, it says 0."""
        read = found.reported.usage.input_tokens if found.reported is not None else 0
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if asked.packed else vector}
            for index, vector in enumerate(found.vectors)
        ]
        usage = {"prompt_tokens": read, "total_tokens": read}
        return msgspec.json.encode({"object": "list", "data": data, "model": found.model or model, "usage": usage})

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


def _inputs(fields: Fields) -> tuple[str | tuple[int, ...], ...]:
    """A text, texts, tokens of one text, tokens of several."""
    found = fields.take("input")
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list) and found:
        if all(isinstance(item, str) for item in found):
            return tuple(found)
        if _tokens(found):
            return (tuple(found),)
        if all(isinstance(item, list) and item and _tokens(item) for item in found):
            return tuple(tuple(item) for item in found)
    raise fields.refused("input", "must be a string, an array of strings, or tokens")


def _tokens(found: list[Any]) -> bool:
    return all(isinstance(item, int) and not isinstance(item, bool) for item in found)


def _packed(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _unpacked(given: list[float] | str) -> tuple[float, ...]:
    if isinstance(given, list):
        return tuple(given)
    try:
        data = base64.b64decode(given, validate=True)
        return struct.unpack(f"<{len(data) // _FLOAT}f", data)
    except (binascii.Error, struct.error):
        raise ValueError("a vector that is no base64 of floats") from None


EMBEDDER = OpenAIEmbeddings()

"""Texts become vectors by an embedding model that a plugin names: calls of the engine, held and recorded like any other."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from tollkeeper.core.account import Balancing, Patience
from tollkeeper.core.call import Call, Destination, Presence, Reply
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.keys import Key
from tollkeeper.dialects.openai_embeddings import EMBEDDER
from tollkeeper.dialects.paths import endpoint
from tollkeeper.routes import model_instances
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Surroundings
from tollkeeper.routes.poured import Poured
from tollkeeper.routes.similarity import Direction, direction
from tollkeeper.wire import json_text

NAME = "embeddings"
"""What the ledger calls the provider."""
SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "provider": {"type": "string", "enum": model_instances.EMBEDDING},
        "model": {"type": "string", "minLength": 1},
        "endpoint": {"type": "string", "pattern": r"^https?://"},
        "auth": model_instances.KEY,
        "timeout": {"type": "integer", "minimum": 100, "maximum": 60000, "default": 3000},
        "ssl_verify": model_instances.VERIFIED,
    },
    "required": ["provider", "model"],
    "additionalProperties": False,
}
"""As APISIX has it, with more providers."""
_AT_ONCE = 32
"""Texts in one request: its answer has 30 to 70 kB for each, and reading it holds up the gate."""
_LONGEST = 32 * 1024 * 1024
"""Bytes of an answer."""
_HEADERS = [(b"content-type", b"application/json")]
_ENDPOINT = endpoint("embeddings", "POST")


def check(conf: Mapping[str, Any], field: str) -> None:
    """Raises ValueError with what is wrong that no schema can say; `field` is where the configuration stands."""
    model_instances.check(_instance(conf), f"{field}.endpoint", f"{field}.auth")


class Embedding:
    """One plugin's."""

    def __init__(self, conf: Mapping[str, Any], gate: Surroundings) -> None:
        self._gate = gate
        self._model: str = conf["model"]
        self._seconds = conf["timeout"] / 1000
        seconds = self._seconds
        patience = Patience(connect=seconds, send=seconds, first_byte=seconds, idle=seconds, total=seconds)
        target = model_instances.target(NAME, _instance(conf), patience)
        self._destination = Destination([target], Balancing(), sha256(repr(sorted(conf.items())).encode()).digest())

    async def of(
        self, texts: Sequence[str], request_ids: Sequence[str], key: Key, presence: Presence
    ) -> list[Direction]:
        """A vector for each text. `request_ids`: as many as `requests` says.

        Raises TollkeeperError where there is no answer in time, or one that is none.
        """
        parts = [texts[at : at + _AT_ONCE] for at in range(0, len(texts), _AT_ONCE)]
        made = zip(parts, request_ids, strict=True)
        found = await asyncio.gather(*[self._asked(part, request_id, key, presence) for part, request_id in made])
        return [vector for part in found for vector in part]

    async def _asked(self, texts: Sequence[str], request_id: str, key: Key, presence: Presence) -> list[Direction]:
        handle = self._gate.handle
        if handle is None:
            raise UpstreamError("This gate answers no model calls.", status=503)
        body = msgspec.json.encode({"model": self._model, "input": texts})
        reply = await handle(
            Call(
                request_id=request_id,
                key=key,
                dialect=_ENDPOINT.dialect,
                method="POST",
                path=_ENDPOINT.path,
                query=b"",
                headers=list(_HEADERS),
                named=dict(_HEADERS),
                body=body,
                model=self._model,
                streamed=False,
                accepted_at=self._gate.monotonic(),
                presence=presence,
                members=json_text.members(body),
                timeout=self._seconds,
                patient=False,
                destination=self._destination,
                bare=True,
            )
        )
        answer = await _whole(reply)
        if reply.status >= 400:
            # Not its words: they may repeat the prompt.
            raise UpstreamError(f"The embedding model answered with status {reply.status}.", code="upstream_error")
        try:
            vectors = EMBEDDER.read_answer(answer).vectors
            if len(vectors) != len(texts):
                raise ValueError("not a vector for each text")
            return [direction(each) for each in vectors]
        except ValueError:
            raise UpstreamError("The embedding model's answer is none.", code="upstream_bad_answer") from None


def requests(texts: int) -> int:
    """How many requests so many texts take."""
    return -(-texts // _AT_ONCE)


def _instance(conf: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration as that of an instance of ai-proxy-multi."""
    override = {"endpoint": conf["endpoint"]} if "endpoint" in conf else {}
    auth = conf.get("auth", {})
    return {"provider": conf["provider"], "auth": auth, "options": {"model": conf["model"]}, "override": override}


async def _whole(reply: Reply) -> bytes:
    if reply.pour is None:
        return reply.body
    poured = Poured(reply.pour)
    parts, size = [], 0
    try:
        while (piece := await poured.next_chunk()) is not None:
            size += len(piece)
            if size > _LONGEST:
                raise UpstreamError(
                    f"The embedding model's answer exceeds {_LONGEST} bytes.", code="upstream_bad_answer"
                )
            parts.append(piece)
    except BaseException:
        poured.close()
        raise
    return b"".join(parts)

"""Which instance of a model is asked by what a prompt means: the one whose examples are most like it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tollkeeper.core.call import Presence
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError
from tollkeeper.dialects import prompt_texts
from tollkeeper.dialects.translators import TRANSLATORS
from tollkeeper.routes import embedding
from tollkeeper.routes.embedding import Embedding
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.headers import written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.model_balancing import Checks
from tollkeeper.routes.model_work import DRY, NOTES, asked, payer, payer_of_none
from tollkeeper.routes.plugin import Surroundings
from tollkeeper.routes.similarity import Direction, likeness
from tollkeeper.wire import json_text
from tollkeeper.wire.json_text import BadJson

_LIKENESS: Schema = {"type": "number", "minimum": -1, "maximum": 1}
FIELDS: Schema = {
    "examples": {"type": "array", "minItems": 1, "maxItems": 64, "items": {"type": "string", "minLength": 1}},
    "threshold": _LIKENESS,
}
"""What each instance has for it."""
OPTIONS: Schema = {
    "type": "object",
    "properties": {
        "embeddings": embedding.SCHEMA,
        "threshold": {**_LIKENESS, "default": 0},
        "fallback": {"type": "string", "minLength": 1},
        "debugging": {"type": "boolean", "default": False},
    },
    "required": ["embeddings"],
    "additionalProperties": False,
}
_MOST_EXAMPLES = 512
"""Of one plugin: a vector has 50 to 100 kB in memory and takes some 10 µs of each request."""
_MOST_NOTED = 8
"""Instances whose likeness is kept with a call."""
_LONGEST_PROMPT = 16384
"""Bytes of a prompt that are embedded, as with APISIX: embedding models take about 8,192 tokens."""


def check(conf: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong with ai-proxy-multi's configuration for this balancer."""
    options = conf.get("semantic_opts")
    if options is None:
        raise ValueError("semantic_opts.embeddings is required for the balancer semantic")
    embedding.check(options["embeddings"], "semantic_opts.embeddings")
    count = 0
    for instance in conf["instances"]:
        if "examples" not in instance:
            raise ValueError(f"instance {instance['name']}: examples are required for the balancer semantic")
        count += len(instance["examples"])
    if count > _MOST_EXAMPLES:
        raise ValueError(f"the instances have {count} examples, of {_MOST_EXAMPLES} at most")
    fallback = options.get("fallback")
    if fallback is not None and not any(each["name"] == fallback and each["weight"] for each in conf["instances"]):
        raise ValueError(f"semantic_opts.fallback names no instance with a weight: {fallback}")


class SemanticBalancer:
    """One plugin's. The examples' vectors are asked for with the first request, and kept as long as the configuration is.

    Where there is no vector in time, or no instance is like enough, `fallback` is asked, or the first instance.
    """

    def __init__(
        self,
        instances: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        gate: Surroundings,
        *,
        most_body: int,
        others: bool,
    ) -> None:
        """`others`: whether another instance may be asked where the chosen one fails."""
        self._gate = gate
        self._most_body = most_body
        self._others = others
        self._debugging: bool = options["debugging"]
        names = [each["name"] for each in instances]
        fallback = options.get("fallback", names[0])
        self._fallback = [fallback, *(name for name in names if name != fallback)]
        self._thresholds = {each["name"]: each.get("threshold", options["threshold"]) for each in instances}
        self._examples = {each["name"]: each["examples"] for each in instances}
        self._embedding = Embedding(options["embeddings"], gate)
        self._checks = Checks(instances, gate.watch, gate.random, gate.monotonic)
        self._learning: asyncio.Task[Mapping[str, Sequence[Direction]]] | None = None

    @property
    def names(self) -> Sequence[str]:
        """Whom it may choose, before it has."""
        return self._fallback

    async def order(self, exchange: Exchange) -> Sequence[str]:
        """Names, the best first; one, unless others may be asked. Raises CallerError (413) and ClientLeft."""
        scores = await self._scores(exchange)
        ranked = sorted(scores, key=lambda name: -scores[name])
        alike = [name for name in ranked if scores[name] >= self._thresholds[name]]
        ill = self._checks.ill()
        first, *rest = [
            name for name in dict.fromkeys((*alike, self._fallback[0], *ranked, *self._fallback)) if name not in ill
        ]
        exchange.notes[NOTES] = [
            ("likeness", name, round(scores[name], 4), self._thresholds[name]) for name in ranked[:_MOST_NOTED]
        ]
        if self._debugging and scores:
            told = ",".join(f"{name}:{scores[name]:z.4f}" for name in ranked)
            exchange.notes[SemanticBalancer] = (
                (b"x-ai-semantic-scores", written(told)),
                (b"x-ai-semantic-picked-instance", written(first if first in alike else "fallback")),
            )
        return [first, *rest] if self._others else [first]

    @staticmethod
    def told(exchange: Exchange) -> Iterable[tuple[bytes, bytes]]:
        """Headers for an answer, where they are wanted."""
        found: Iterable[tuple[bytes, bytes]] = exchange.notes.get(SemanticBalancer, ())
        return found

    async def _scores(self, exchange: Exchange) -> Mapping[str, float]:
        """How like the prompt each instance's examples are; empty where that cannot be known."""
        prompt = await self._prompt(exchange)
        if prompt is None:
            return {}
        key = msgspec.structs.replace(payer(exchange), limits=())  # the caller asked for one call, not for two
        try:
            examples = await self._learnt(exchange)
            (meant,) = await self._embedding.of(
                [prompt], [f"{exchange.request_id}.1"], key, _followed(exchange.presence)
            )
            scores = {}
            for name, vectors in examples.items():
                scores[name] = likeness(meant, vectors)
                await asyncio.sleep(0)  # many examples are some work: others may go on in between
            return scores
        except ClientLeft:
            raise
        except (TollkeeperError, ValueError) as error:
            route = "" if exchange.route is None else exchange.route.id
            reason = error.message if isinstance(error, TollkeeperError) else "The vectors are of different models."
            self._gate.say("ai_proxy_multi_failed", route=route, reason=reason)
            return {}

    async def _prompt(self, exchange: Exchange) -> str | None:
        """What the user said last; None where nothing is to be asked for it."""
        body = await exchange.request.read(self._most_body)
        if exchange.request.headers.get(DRY) == b"1":
            return None
        try:
            members = json_text.members(body)
            found = asked(exchange.request.path, members)
            translator = TRANSLATORS.get(found.dialect.name)
            words = None if translator is None else prompt_texts.last_asked(translator.read_request(body, found.path))
        except (BadJson, CallerError):  # whoever answers says what is wrong with it
            return None
        if words is None and found.dialect.operation == "text_completion":
            words = next(iter(found.dialect.prompt_texts(members)), None)
        return None if not words else words.encode()[:_LONGEST_PROMPT].decode(errors="ignore")

    async def _learnt(self, exchange: Exchange) -> Mapping[str, Sequence[Direction]]:
        """The examples' vectors. Whoever comes while they are asked for waits for the same ones. Raises TollkeeperError."""
        task = self._learning
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._learning = asyncio.get_running_loop().create_task(self._learn(exchange))
        return await asyncio.shield(task)

    async def _learn(self, exchange: Exchange) -> Mapping[str, Sequence[Direction]]:
        texts = [text for each in self._examples.values() for text in each]
        ids = [f"{exchange.request_id}.{number + 2}" for number in range(embedding.requests(len(texts)))]
        vectors = iter(await self._embedding.of(texts, ids, payer_of_none(exchange), Presence()))
        return {name: [next(vectors) for _ in each] for name, each in self._examples.items()}


def _followed(presence: Presence) -> Presence:
    """One that is gone when `presence` is."""
    own = Presence()
    presence.on_leave(own.leave)
    return own

"""A call to a provider who speaks another dialect: its request in that dialect, and the way back for the answer."""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec import structs

from tollkeeper.core.account import Target
from tollkeeper.core.call import Call
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Failed
from tollkeeper.core.embedding import Texts
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.crossing import Crossing, EmbeddingCrossing
from tollkeeper.dialects.embedders import EMBEDDERS
from tollkeeper.dialects.paths import RELAYED
from tollkeeper.dialects.translators import TRANSLATORS
from tollkeeper.flow.render import amended
from tollkeeper.wire import json_text, sse

_JSON = (b"content-type", b"application/json")
_TRAVEL = frozenset((b"user-agent",))


def needed(call: Call, target: Target) -> bool:
    """Whether the call cannot be relayed as it is: the provider speaks another dialect, or only we can read it."""
    dialect = call.dialect
    if dialect.name not in target.account.provider.speaks:
        return dialect.name in RELAYED
    if call.framing != "events":
        return True
    sealed = dialect.sealed
    if sealed and isinstance(call.body, bytes) and sealed in call.body:
        return True
    return dialect.name == "gemini_embed" and target.model != call.model  # its requests name their model inside


class Passage:
    """One attempt's."""

    def __init__(
        self, call: Call, dropped: tuple[str, ...], crossing: Crossing | EmbeddingCrossing, filled: str | None = None
    ):
        self.call = call
        """As it is sent: in the provider's dialect."""
        self.crossing = crossing
        self.dropped = dropped
        """What was left out, as the client calls it."""
        self.filled = filled
        """The member with a bound of the output that the client did not set."""


def carried(call: Call, target: Target, now: float, limit: int | None = None) -> tuple[Call, Passage | None]:
    """The call as `target` is to get it, and how it comes into its dialect, where that is another; `now` is Unix seconds.

    `limit` bounds the output where the dialect must name a bound and the client set none. Raises CallerError where the
    request cannot be carried.
    """
    passed = passage(call, target, now, limit) if needed(call, target) else None
    return amended(call if passed is None else passed.call, target), passed


def kept_to(
    limits: Mapping[str, bytes], asked: Call, passed: Passage | None, call: Call, target: Target, now: float
) -> tuple[Call, Passage | None]:
    """`carried` once more where `limits` lower the bound that was filled in: what was fitted into it must fit again."""
    limit = limits.get(passed.filled) if passed is not None and passed.filled is not None else None
    return (asked, passed) if limit is None else carried(call, target, now, int(limit))


def as_asked(asked: Call, passed: Passage | None, target: Target) -> tuple[Call, Target]:
    """What budgets go by: where the client set no bound of its output, the one that was filled in is the target's most."""
    if passed is None or passed.filled is None:
        return asked, target
    filled = asked.members[passed.filled]
    if bytes(filled) != bytes(passed.call.members[passed.filled]):
        return asked, target  # the target sets one of its own
    members = {name: value for name, value in asked.members.items() if name != passed.filled}
    return structs.replace(asked, members=members), structs.replace(target, max_output=int(bytes(filled)))


def passage(call: Call, target: Target, now: float, limit: int | None = None) -> Passage:
    """For one attempt; see `carried`. Raises CallerError where the request cannot be carried."""
    if call.method != "POST" or call.path not in _WHOLE.get(call.dialect.name, (call.path,)):
        raise CallerError(
            f"The model {target.name} speaks another dialect, in which there is nothing like /{call.path[:64]}.",
            status=404,
            code="endpoint_not_found",
        )
    if call.dialect.name in EMBEDDERS:
        return _embeddings(call, target)
    client = TRANSLATORS[call.dialect.name]
    provider = TRANSLATORS[_spoken(call, target, TRANSLATORS)]
    asked = call.conversation
    if not isinstance(asked, Conversation):
        asked = call.conversation = client.read_request(_bytes(call), _path(call))
    terms = _terms(target, limit)
    rendered = provider.render_request(asked, terms)
    sitting = Sitting(origin=terms.origin, renamed=rendered.renamed, id=call.request_id)
    identity = Identity(
        id=call.request_id,
        created=int(now),
        model=call.model or terms.model,
        stream_usage=asked.stream_usage,
        framing=call.framing,
        asked=asked,
    )
    crossing = Crossing(client, provider, sitting, identity)
    return Passage(_sent(call, provider.name, rendered), rendered.dropped, crossing, rendered.filled)


def as_stream(call: Call, body: bytes, now: float) -> bytes | None:
    """The events of a whole answer in the client's own dialect; None where it is none, or cannot be told in events.

    `now` is Unix seconds.
    """
    translator = TRANSLATORS.get(call.dialect.name)
    if (
        translator is None
        or call.dialect.stream_type != sse.MEDIA_TYPE
        or call.path not in _WHOLE.get(translator.name, (call.path,))
    ):
        return None
    try:
        asked = translator.read_request(_bytes(call), _path(call))
        deltas = translator.read_answer(body, Sitting(origin=call.dialect.name, id=call.request_id))
    except (CallerError, ValueError):
        return None
    if any(isinstance(delta, Failed) for delta in deltas):
        return None
    identity = Identity(
        id=call.request_id, created=int(now), model=call.model or "", stream_usage=asked.stream_usage, asked=asked
    )
    return translator.encoder(identity).feed(deltas)


def _embeddings(call: Call, target: Target) -> Passage:
    client = EMBEDDERS[call.dialect.name]
    provider = EMBEDDERS[_spoken(call, target, EMBEDDERS)]
    asked = call.conversation
    if not isinstance(asked, Texts):
        asked = call.conversation = client.read_request(_bytes(call), _path(call))
    rendered = provider.render_request(asked, _terms(target))
    crossing = EmbeddingCrossing(client, provider, asked, call.model or "")
    return Passage(_sent(call, provider.name, rendered), rendered.dropped, crossing)


_WHOLE = {"openai_responses": ("responses",), "openai_chat": ("chat/completions",)}
"""Paths at which these dialects make an answer; what else they have below is kept by a provider."""


def _spoken(call: Call, target: Target, known: Mapping[str, object]) -> str:
    """The dialect to write in: the client's own where the provider speaks it, else the first that is known."""
    speaks = target.account.provider.speaks
    if call.dialect.name in speaks:
        return call.dialect.name
    found = next((name for name in speaks if name in known), None)
    if found is None:
        what = "embeddings" if call.dialect.operation == "embeddings" else "conversations"
        raise CallerError(f"The provider '{target.account.name}' has no {what}.", status=404, code="endpoint_not_found")
    return found


def _terms(target: Target, limit: int | None = None) -> Terms:
    provider = target.account.provider
    return Terms(
        model=target.model or "",
        origin=provider.family or provider.name,
        strict=target.strict,
        output_limit=target.max_output if limit is None else limit,
        limit_field=provider.output_limit[0],
        replays_reasoning=provider.replays_reasoning,
        reports_stream_usage=provider.stream_usage == "ask",
    )


def _sent(call: Call, dialect: str, rendered: Rendered) -> Call:
    """The call as the provider gets it. What is noted of it is noted of the client's."""
    headers = [_JSON, *(header for header in call.headers if header[0] in _TRAVEL), *rendered.headers]
    return structs.replace(
        call,
        dialect=RELAYED[dialect],
        method="POST",
        path=rendered.path,
        query=rendered.query.encode(),
        headers=headers,
        body=rendered.body,
        members=json_text.members(rendered.body),
    )


def _bytes(call: Call) -> bytes:
    return call.body if isinstance(call.body, bytes) else b""


def _path(call: Call) -> str:
    """The client's, with the model in it where it names one."""
    return call.path.replace("{model}", quote(call.model or "", safe="/:@"))

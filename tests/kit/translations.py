"""Translators in tests: streams decoded however they were cut, encoded, and compared as far as a dialect can say things."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from tollkeeper.core.answers import Answer, Choice, Said
from tollkeeper.core.conversation import Citation, Foreign, Reasoning, Refusal, Text, TokenLogprob, ToolUse
from tollkeeper.core.deltas import Delta
from tollkeeper.core.translation import Identity, Sitting, Terms, Translator
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects.anthropic_messages.translator import TRANSLATOR as ANTHROPIC
from tollkeeper.dialects.gemini_generate.translator import TRANSLATOR as GEMINI
from tollkeeper.dialects.ollama_chat.translator import TRANSLATOR as OLLAMA
from tollkeeper.dialects.ollama_generate.translator import TRANSLATOR as OLLAMA_GENERATE
from tollkeeper.dialects.openai_chat.translator import TRANSLATOR as CHAT
from tollkeeper.dialects.openai_responses.translator import TRANSLATOR as RESPONSES
from tollkeeper.wire.ndjson import LineScanner
from tollkeeper.wire.sse import EventScanner

SITTING = Sitting(origin="someone", id="req1")
IDENTITY = Identity(id="req1", created=1_700_000_000, model="model-1")
TERMS = Terms(model="model-1", origin="someone")


class Says(NamedTuple):
    """What a dialect has words for. Every loss that the laws allow stands here."""

    translator: Translator
    folder: str
    """Of its recordings, below a provider."""
    stops: dict[str, str]
    """Stop reasons that it does not tell apart from others."""
    blocks: bool = True
    """Whether blocks of words have borders: otherwise words of one kind are one, before the tools."""
    refusals: bool = False
    """Whether a refusal differs from other words."""
    logprobs: bool = False
    created: bool = False
    choices: bool = False
    sequence: bool = False
    """Whether it says which stop sequence was met."""
    addresses_only: bool = False
    """Whether it cites only what has an address."""
    redacted_ids: bool = False
    """Whether reasoning has an id."""
    silence_is_redacted: bool = False
    """Whether reasoning without words counts as redacted."""
    quotes: bool = True
    """Whether a citation has the words of its source."""
    token_bytes: bool = True
    """Whether a token with its probability has its bytes as well."""
    cache_writes: bool = True
    """Whether usage tells what was written to a cache."""
    hours_and_searches: bool = False
    """Whether it tells those that are kept for an hour from others, and the provider's own searches."""
    error_status: bool = True
    """Whether an error in a stream has a status."""
    ids: bool = True
    """Whether answers have ids."""
    seals: bool = True
    """Whether signatures have a place."""
    citations: bool = True
    usage_kinds: bool = True
    """Whether usage tells cached input and reasoning from other tokens."""
    scanner: type[EventScanner] | type[LineScanner] = EventScanner


def _ollama(translator: Translator) -> Says:
    return Says(
        translator,
        "lines",
        {"stop_sequence": "end", "context": "length", "compaction": "length", "pause": "end", "refusal": "filter"},
        blocks=False,
        logprobs=True,
        created=True,
        error_status=False,
        ids=False,
        seals=False,
        citations=False,
        usage_kinds=False,
        scanner=LineScanner,
    )


SAYS = {
    "openai_chat": Says(
        CHAT,
        "chat",
        {"stop_sequence": "end", "context": "length", "compaction": "length", "pause": "end", "refusal": "filter"},
        blocks=False,
        refusals=True,
        logprobs=True,
        created=True,
        choices=True,
        addresses_only=True,
        redacted_ids=True,
    ),
    "openai_responses": Says(
        RESPONSES,
        "responses",
        {"stop_sequence": "end", "context": "length", "compaction": "length", "pause": "end", "refusal": "filter"},
        refusals=True,
        logprobs=True,
        created=True,
        addresses_only=True,
        silence_is_redacted=True,
        error_status=False,
    ),
    "gemini_generate": Says(
        GEMINI,
        "generate",
        {"stop_sequence": "end", "context": "length", "compaction": "length", "pause": "end", "refusal": "filter"},
        blocks=False,
        logprobs=True,
        choices=True,
        addresses_only=True,
        quotes=False,
        token_bytes=False,
        cache_writes=False,
    ),
    "ollama_chat": _ollama(OLLAMA),
    "ollama_generate": _ollama(OLLAMA_GENERATE),
    "anthropic_messages": Says(ANTHROPIC, "messages", {"filter": "refusal"}, sequence=True, hours_and_searches=True),
}
ALL = tuple(says.translator for says in SAYS.values())


def decoded(translator: Translator, raw: bytes, size: int | None = None, sitting: Sitting = SITTING) -> list[Delta]:
    """The pieces of a whole stream that came in chunks of `size` bytes."""
    decoder, scanner = translator.decoder(sitting), SAYS[translator.name].scanner()
    chunks = [raw] if size is None else [raw[at : at + size] for at in range(0, len(raw), size)]
    found: list[Delta] = []
    for chunk in chunks:
        for event in scanner.feed(chunk):
            found += decoder.feed(event)
    rest = scanner.take()
    if rest.strip():
        found += decoder.feed(rest)
    assert decoder.finished, "the stream was cut"
    return found + decoder.close()


def encoded(translator: Translator, deltas: Iterable[Delta], identity: Identity = IDENTITY) -> bytes:
    """The client's whole stream, the pieces fed one by one."""
    encoder = translator.encoder(identity)
    return b"".join(encoder.feed([delta]) for delta in deltas)


def split(translator: Translator, raw: bytes) -> list[bytes]:
    """The events of a whole stream, also one that is not quite whole."""
    scanner = SAYS[translator.name].scanner()
    return [*scanner.feed(raw), *([rest] if (rest := scanner.take()).strip() else [])]


def comparable(answer: Answer, *through: str) -> dict[str, Any]:
    """An answer without what one of the dialects on its way cannot say. What one makes alike, another may have to join."""
    for name in (*through, *through):
        answer = _as_said(answer, SAYS[name])
    return {
        "id": answer.id,
        "model": answer.model,
        "created": answer.created,
        "choices": [{"stop": c.stop, "sequence": c.sequence, "blocks": c.blocks} for c in answer.choices],
        "usage": answer.reported.usage if answer.reported is not None and answer.failure is None else None,
        "failure": (answer.failure.message, answer.failure.status, answer.failure.code) if answer.failure else None,
    }


def _as_said(answer: Answer, says: Says) -> Answer:
    choices = answer.choices if says.choices else answer.choices[:1]
    failure = answer.failure
    if failure is not None and not says.error_status:
        failure = msgspec.structs.replace(failure, status=500)
    return msgspec.structs.replace(
        answer,
        id=answer.id if says.ids else None,
        failure=failure,
        reported=_reported(answer.reported, says),
        created=answer.created if says.created and answer.created != IDENTITY.created else None,
        choices=tuple(_choice(choice, says, answer.failure is not None) for choice in choices),
    )


def _reported(reported: Reported | None, says: Says) -> Reported | None:
    if reported is None:
        return None
    if not says.usage_kinds:
        usage = reported.usage
        return Reported(Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens), reported.raw)
    usage = reported.usage
    written = usage.cache_write_tokens if says.cache_writes else 0
    usage = msgspec.structs.replace(usage, cache_write_tokens=written)
    if not says.hours_and_searches:
        usage = msgspec.structs.replace(usage, cache_write_1h_tokens=0, web_searches=0)
    return Reported(usage, reported.raw)


def usage_said(reported: Reported, translator: Translator) -> Usage | None:
    """The usage as far as a dialect tells its kinds apart."""
    found = _reported(reported, SAYS[translator.name])
    return None if found is None else found.usage


def _choice(choice: Choice, says: Says, failed: bool) -> Choice:
    blocks = _joined([_block(block, says) for block in choice.blocks if _is_said(block, says)], says)
    refused = any(isinstance(block, Refusal) for block in blocks)
    stop: Any = choice.stop
    stop = "end" if stop == "refusal" and refused else says.stops.get(stop, stop)
    if stop == "end":
        called = any(isinstance(block, ToolUse) for block in blocks)
        stop = "tool" if called else "refusal" if refused else "end"
    if failed:
        stop = "end"
    return Choice(tuple(blocks), stop, choice.sequence if says.sequence else None)


def _is_said(block: Said, says: Says) -> bool:
    if isinstance(block, Foreign):
        return block.dialect == says.translator.name
    if isinstance(block, ToolUse):
        return True
    if isinstance(block, Reasoning):
        return bool(block.text or (block.seal and says.seals))
    return bool(block.text) or (isinstance(block, Text) and says.citations and bool(block.citations))


def _block(block: Said, says: Says) -> Said:
    if isinstance(block, Refusal) and not says.refusals:
        return Text(block.text)
    if isinstance(block, Text):
        cited = [found for found in block.citations if says.citations and (found.url or not says.addresses_only)]
        return Text(
            block.text,
            tuple(
                Citation(found.url or None, found.title or None, (says.quotes and found.text) or None)
                for found in cited
            ),
            _likely(block.logprobs, says) if says.logprobs else None,
        )
    if isinstance(block, Reasoning):
        if not says.seals:
            return Reasoning(block.text)
        silent = says.silence_is_redacted and not block.text
        name = block.id if says.redacted_ids else None
        return msgspec.structs.replace(block, id=name, redacted=block.redacted or silent)
    if isinstance(block, ToolUse) and not block.custom:
        seal = block.seal if says.seals else None
        return msgspec.structs.replace(block, arguments=_plain_json(block.arguments), seal=seal)
    if isinstance(block, Foreign):
        return Foreign(block.dialect, _plain_json(block.data.decode()).encode())
    return block


def _likely(logprobs: tuple[TokenLogprob, ...] | None, says: Says) -> tuple[TokenLogprob, ...] | None:
    if logprobs is None or says.token_bytes:
        return logprobs
    return tuple(TokenLogprob(found.token, found.logprob, None, _likely(found.top, says) or ()) for found in logprobs)


def _plain_json(text: str) -> str:
    return msgspec.json.encode(msgspec.json.decode(text or "{}"), order="deterministic").decode()


def _joined(blocks: Sequence[Said], says: Says) -> list[Said]:
    """Where blocks have no borders: thoughts, texts, refusals, tools, the words of each kind in one."""
    if says.blocks:
        return list(blocks)
    thoughts = [block for block in blocks if isinstance(block, Reasoning)]
    texts = [block for block in blocks if isinstance(block, Text)]
    refusals = [block for block in blocks if isinstance(block, Refusal)]
    out: list[Said] = [thought for thought in thoughts if thought.seal is not None]
    unsealed = "".join(thought.text for thought in thoughts if thought.seal is None)
    if unsealed:
        out.append(Reasoning(unsealed))
    if texts:
        likely = tuple(found for text in texts for found in text.logprobs or ())
        cited = tuple(found for text in texts for found in text.citations)
        out.append(Text("".join(text.text for text in texts), cited, likely or None))
    if refusals:
        out.append(Refusal("".join(refusal.text for refusal in refusals)))
    return out + [block for block in blocks if isinstance(block, (ToolUse, Foreign))]

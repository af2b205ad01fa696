"""Gemini's chunks become neutral pieces (https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent).

Rule 1: a chunk is a whole GenerateContentResponse; its parts are pieces. Words of one kind that follow each other are one
        block; a function call is a block in one piece.
Rule 2: nothing marks the end but the end of bytes: a finish reason makes it a proper one.
Rule 3: a signature belongs to the part it stands in: a thought's and a call's seal it; a text's is kept beside it as
        redacted reasoning.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.conversation import Citation, Foreign, Seal, TokenLogprob
from tollkeeper.core.deltas import (
    END,
    PING,
    BlockEnd,
    Cited,
    Delta,
    Failed,
    Finish,
    ForeignPiece,
    ReasoningStart,
    Sealed,
    Start,
    StopReason,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects import lenient
from tollkeeper.dialects.gemini_generate import errors, signatures, usage
from tollkeeper.dialects.whole_calls import whole_call
from tollkeeper.wire import sse

DIALECT = "gemini_generate"
OUR_CALL = "tkcall_"
"""How ids of calls begin that Gemini gave none: they are not shown to it."""
_NULL = b"null"
_STOPS: dict[str, StopReason] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "LANGUAGE": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "MODEL_ARMOR": "filter",
}
_SOURCES = frozenset(("groundingChunks", "groundingSupports"))
"""What of groundingMetadata citations tell; clients of Gemini's have to show some of the rest."""
_encode = msgspec.json.encode


class FunctionCall(Struct):
    name: str = ""
    id: str | None = None
    args: Raw | UnsetType = UNSET


class Part(Struct):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None
    functionCall: FunctionCall | None = None
    inlineData: Any = None
    fileData: Any = None
    executableCode: Any = None
    codeExecutionResult: Any = None
    toolCall: Any = None
    toolResponse: Any = None


class Content(Struct):
    parts: list[Part] | None = None


class Likely(Struct):
    token: str = ""
    logProbability: float = 0.0


class LikelyOnes(Struct):
    candidates: list[Likely] | None = None


class Logprobs(Struct):
    chosenCandidates: list[Likely] | None = None
    topCandidates: list[LikelyOnes] | None = None


class Candidate(Struct):
    index: int = 0
    content: Content | None = None
    finishReason: str | None = None
    groundingMetadata: Raw | UnsetType = UNSET
    logprobsResult: Logprobs | None = None


class Feedback(Struct):
    blockReason: str | None = None


class Chunk(Struct):
    responseId: str | None = None
    modelVersion: str | None = None
    candidates: list[Candidate] | None = None
    promptFeedback: Feedback | None = None
    usageMetadata: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


decode = lenient.decoder(Chunk)
_FOREIGN = ("inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse")


class _Voice:
    """One candidate: its open block of words, and how it finished."""

    __slots__ = ("block", "called", "finish", "kind", "texts")

    def __init__(self) -> None:
        self.block: int | None = None
        self.kind: type[Delta] | None = None
        self.texts: list[str] = []
        """Of the text, for places of citations, which Gemini gives in bytes."""
        self.called = False
        self.finish: StopReason | None = None


class GeminiDecoder:
    """Reads chunks until the bytes end, or one whole answer."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._voices: dict[int, _Voice] = {}
        self._started = False
        self._next = 0
        self.done = False

    @property
    def finished(self) -> bool:
        return self.done or any(voice.finish is not None for voice in self._voices.values())

    def feed(self, event: bytes) -> list[Delta]:
        data = sse.data_of(event)
        if data is None:
            return [PING]
        if self.done:
            return []
        return self.hear(decode(data), data)

    def close(self) -> list[Delta]:
        """The finishes and the end."""
        if self.done:
            return []
        self.done = True
        out: list[Delta] = []
        for index, voice in self._voices.items():
            self._end(voice, out)
            reason: StopReason = voice.finish or "end"
            out.append(Finish("tool" if reason == "end" and voice.called else reason, None, index))
        out.append(END)
        return out

    def hear(self, chunk: Chunk, raw: bytes) -> list[Delta]:
        if chunk.error is not UNSET and bytes(chunk.error) != _NULL:
            self.done = True
            return [Failed(errors.failure(raw, None))]
        out: list[Delta] = []
        if not self._started:
            self._started = True
            out.append(Start(chunk.responseId, chunk.modelVersion))
        for candidate in chunk.candidates or ():
            self._candidate(candidate, out)
        if chunk.promptFeedback is not None and chunk.promptFeedback.blockReason:
            self._voices.setdefault(0, _Voice()).finish = "filter"
        if chunk.usageMetadata is not UNSET:
            noted = usage.reported(bytes(chunk.usageMetadata))
            if noted is not None:
                out.append(UsageNoted(*noted))
        return out

    def _candidate(self, candidate: Candidate, out: list[Delta]) -> None:
        voice = self._voices.get(candidate.index)
        if voice is None:
            voice = self._voices[candidate.index] = _Voice()
        likely = candidate.logprobsResult
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                text = part.text
                if part.functionCall is not None:
                    self._call(part, candidate.index, voice, out)
                elif text is not None:
                    if text:
                        kind = ReasoningStart if part.thought else TextStart
                        self._say(kind, text, candidate.index, voice, out, likely)
                        likely = None
                    if part.thoughtSignature:
                        self._signed(part, candidate.index, voice, out)
                else:
                    self._stranger(part, candidate.index, voice, out)
        if candidate.groundingMetadata is not UNSET and bytes(candidate.groundingMetadata) != _NULL:
            self._grounding(bytes(candidate.groundingMetadata), candidate.index, voice, out)
        if candidate.finishReason:
            voice.finish = _STOPS.get(candidate.finishReason, "end")

    # --- parts ------------------------------------------------------------------------------------------------------

    def _say(
        self, kind: type[Any], text: str, index: int, voice: _Voice, out: list[Delta], likely: Logprobs | None
    ) -> None:
        block = voice.block
        if block is None or voice.kind is not kind:
            block = self._begin(kind, index, voice, out)
        if kind is TextStart:
            voice.texts.append(text)
        out.append(TextDelta(block, text, None if likely is None else _logprobs(likely)))

    def _begin(self, kind: type[Any], index: int, voice: _Voice, out: list[Delta], redacted: bool = False) -> int:
        self._end(voice, out)
        block = voice.block = self._next
        voice.kind = kind
        voice.texts = []
        self._next += 1
        out.append(kind(block, index, redacted) if redacted else kind(block, index))
        return block

    def _end(self, voice: _Voice, out: list[Delta]) -> None:
        if voice.block is not None:
            out.append(BlockEnd(voice.block))
            voice.block = None

    def _signed(self, part: Part, index: int, voice: _Voice, out: list[Delta]) -> None:
        seal = self._seal(part.thoughtSignature or "")
        block = voice.block
        if not part.thought:
            block = self._begin(ReasoningStart, index, voice, out, redacted=True)
        elif block is None or voice.kind is not ReasoningStart:
            block = self._begin(ReasoningStart, index, voice, out)
        out.append(Sealed(block, seal))
        self._end(voice, out)

    def _seal(self, signature: str) -> Seal:
        return signatures.read(signature, self._sitting.origin)

    def _call(self, part: Part, index: int, voice: _Voice, out: list[Delta]) -> None:
        self._end(voice, out)
        call = part.functionCall or FunctionCall()
        voice.called = True
        block, self._next = self._next, self._next + 1
        name = self._sitting.renamed.get(call.name, call.name)
        seal = self._seal(part.thoughtSignature) if part.thoughtSignature else None
        given = bytes(call.args) if call.args is not UNSET else b""
        start = ToolStart(block, call.id or f"{OUR_CALL}{self._sitting.id}_{block}", name, index, False, seal)
        out += whole_call(start, "" if given == _NULL else given.decode())

    def _stranger(self, part: Part, index: int, voice: _Voice, out: list[Delta]) -> None:
        found: dict[str, Any] = {name: value for name in _FOREIGN if (value := getattr(part, name)) is not None}
        if part.thoughtSignature:
            if not found:
                self._signed(part, index, voice, out)
                return
            found["thoughtSignature"] = part.thoughtSignature
        if found:
            self._end(voice, out)
            out.append(ForeignPiece(DIALECT, _encode(found), index))

    def _grounding(self, raw: bytes, index: int, voice: _Voice, out: list[Delta]) -> None:
        """Sources of the words, and the whole of it, if there is more to it, for clients who know what it is."""
        found = msgspec.json.decode(raw)
        block = voice.block
        if not isinstance(found, dict):
            return
        whole = bool(found.keys() - _SOURCES)
        citations = _citations(found, "".join(voice.texts), Foreign(DIALECT, b"{}") if whole else None)
        if citations:
            if block is None or voice.kind is not TextStart:
                block = self._begin(TextStart, index, voice, out)
            out += (Cited(block, citation) for citation in citations)
        if whole:
            out.append(ForeignPiece(DIALECT, b'{"groundingMetadata":%b}' % raw, index))


def _citations(found: dict[str, Any], text: str, own: Foreign | None) -> list[Citation]:
    """The sources of a text. `own` marks those that also pass as the metadata they stand in."""
    chunks = [chunk.get("web") if isinstance(chunk, dict) else None for chunk in found.get("groundingChunks") or ()]
    citations = []
    written = text.encode()
    for support in found.get("groundingSupports") or ():
        segment = support.get("segment") if isinstance(support, dict) else None
        segment = segment if isinstance(segment, dict) else {}
        start, end = (_characters(written, segment.get(name)) for name in ("startIndex", "endIndex"))
        for number in (support.get("groundingChunkIndices") or ()) if isinstance(support, dict) else ():
            source = chunks[number] if isinstance(number, int) and 0 <= number < len(chunks) else None
            if isinstance(source, dict) and isinstance(source.get("uri"), str):
                title = source.get("title")
                cited = title if isinstance(title, str) else None
                citations.append(Citation(source["uri"], cited, None, start, end, own))
    return citations


def _characters(written: bytes, place: object) -> int:
    """A place in bytes as a place in code points; Gemini leaves 0 out."""
    return len(written[: place if isinstance(place, int) else 0].decode("utf-8", "ignore"))


def _logprobs(found: Logprobs) -> tuple[TokenLogprob, ...] | None:
    top = found.topCandidates or []
    likely = []
    for place, chosen in enumerate(found.chosenCandidates or ()):
        others = top[place].candidates or [] if place < len(top) else []
        beside = tuple(TokenLogprob(other.token, other.logProbability) for other in others)
        likely.append(TokenLogprob(chosen.token, chosen.logProbability, None, beside))
    return tuple(likely) or None

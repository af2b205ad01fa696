"""Neutral pieces become Gemini's chunks.

Rule 1: a stream is `data: {json}` lines and nothing else, CR LF twice after each: Google's client stops at comments, named
        events and `[DONE]`, and takes U+2028, U+2029 and U+0085 for line ends unless they are escaped.
Rule 2: a function call is one part: it waits until its arguments are whole.
Rule 3: id and model are the same in every chunk; usage comes with the last one, which has the finish reasons.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tollkeeper.core.conversation import Citation, TokenLogprob
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    End,
    Failed,
    Finish,
    ForeignPiece,
    Ping,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Identity
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.gemini_generate import answer, errors, usage
from tollkeeper.dialects.gemini_generate.decoder import DIALECT

_encode = msgspec.json.encode
_LINE_ENDS = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)


class _Block:
    """An open block: what stands before and after each piece of its text."""

    __slots__ = ("after", "before", "citations", "part", "seal", "start", "texts")

    def __init__(self, start: Any, before: bytes, after: bytes) -> None:
        self.start = start
        self.before = before
        self.after = after
        self.texts: list[str] = []
        self.citations: list[Citation] = []
        self.seal = getattr(start, "seal", None)
        self.part = b""
        """A call that is whole and waits for those that began before it."""


class GeminiEncoder:
    """Writes one stream. Feed it all pieces in their order."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._array = identity.framing == "array"
        self._open, self._close = (b"", b"") if self._array else (b"data: ", b"\r\n\r\n")
        self._sent = False
        self._tail = b""
        self._blocks: dict[int, _Block] = {}
        self._calls: dict[int, list[_Block]] = {}
        """Calls that have not been sent, by choice."""
        self._speaking: set[int] = set()
        """Choices with an open block of words, which no call may come between."""
        self._said: dict[int, int] = {}
        """Code points of text, by choice."""
        self._finishes: list[Finish] = []
        self._reported: Reported | None = None
        self._over = False
        self._writers: dict[type[Delta], Callable[[Any], bytes]] = {
            TextDelta: self._text,
            Start: self._start,
            TextStart: self._words,
            RefusalStart: self._words,
            ReasoningStart: self._words,
            ToolStart: self._words,
            Sealed: self._sealed,
            Cited: self._cited,
            BlockEnd: self._block_end,
            ForeignPiece: self._foreign,
            Finish: self._note_finish,
            UsageNoted: self._usage,
            Ping: self._ping,
            Failed: self._failed,
            End: self._end,
        }

    def feed(self, deltas: list[Delta]) -> bytes:
        out = b""
        writers = self._writers
        for delta in deltas:
            if self._over:
                break
            said = writers[type(delta)](delta)
            if said:
                out += self._framed(said) if self._array else said
        return out

    def _framed(self, chunk: bytes) -> bytes:
        """One more element of the array."""
        begun, self._sent = self._sent, True
        return (b",\r\n" if begun else b"[") + chunk + (b"]" if self._over else b"")

    def _chunk(self, choice: int, part: bytes, rest: bytes = b"") -> bytes:
        shape = b'%b{"candidates":[{"content":{"parts":[%b],"role":"model"},"index":%d%b}],%b'
        return shape % (self._open, part, choice, rest, self._tail)

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _text(self, delta: TextDelta) -> bytes:
        block = self._blocks[delta.block]
        block.texts.append(delta.text)
        if not block.before:
            return b""
        after = block.after
        if delta.logprobs:
            after = after.replace(b',"index":', b',"logprobsResult":%b,"index":' % _likely(delta.logprobs), 1)
        return block.before + _escaped(_encode(delta.text)) + after

    def _words(self, start: TextStart | RefusalStart | ReasoningStart | ToolStart) -> bytes:
        if isinstance(start, ToolStart):
            block = self._blocks[start.block] = _Block(start, b"", b"")
            self._calls.setdefault(start.choice, []).append(block)
            return b""
        before = self._open + b'{"candidates":[{"content":{"parts":[{"text":'
        thought = b',"thought":true' if isinstance(start, ReasoningStart) else b""
        after = b'%b}],"role":"model"},"index":%d}],%b' % (thought, start.choice, self._tail)
        self._speaking.add(start.choice)
        self._blocks[start.block] = _Block(start, before, after)
        return b""

    def _sealed(self, delta: Sealed) -> bytes:
        block = self._blocks[delta.block]
        block.seal = delta.seal
        start = block.start
        if isinstance(start, ToolStart):
            return b""
        part = answer.signature(delta.seal, thought=not start.redacted)
        return self._chunk(start.choice, _encode(part))

    def _cited(self, delta: Cited) -> bytes:
        self._blocks[delta.block].citations.append(delta.citation)
        return b""

    def _block_end(self, delta: BlockEnd) -> bytes:
        block = self._blocks.pop(delta.block)
        start = block.start
        text = "".join(block.texts)
        if isinstance(start, ToolStart):
            block.part = _escaped(_encode(answer.function_call(start.id, start.name, text, block.seal)))
            return self._whole_calls(start.choice)
        self._speaking.discard(start.choice)
        said = self._grounded(block, text) if isinstance(start, TextStart) else b""
        return said + self._whole_calls(start.choice)

    def _grounded(self, block: _Block, text: str) -> bytes:
        """The sources of a text that has ended."""
        start = block.start
        begun = self._said.get(start.choice, 0)
        self._said[start.choice] = begun + len(text)
        grounding = answer.grounding(block.citations, text)
        if grounding is None:
            return b""
        return self._chunk(start.choice, b'{"text":""}', b',"groundingMetadata":%b' % _escaped(_encode(grounding)))

    def _whole_calls(self, choice: int) -> bytes:
        """Calls in the order in which they began, as far as they are whole, in one chunk."""
        if choice in self._speaking:
            return b""
        waiting = self._calls.get(choice, [])
        parts = []
        while waiting and waiting[0].part:
            parts.append(waiting.pop(0).part)
        return self._chunk(choice, b",".join(parts)) if parts else b""

    def _foreign(self, delta: ForeignPiece) -> bytes:
        if delta.dialect != DIALECT:
            return b""
        if delta.data.startswith(b'{"groundingMetadata":'):
            return self._chunk(delta.choice, b'{"text":""}', b"," + _escaped(delta.data[1:-1]))
        return self._chunk(delta.choice, _escaped(delta.data))

    # --- the stream -------------------------------------------------------------------------------------------------

    def _start(self, delta: Start) -> bytes:
        given = self._identity
        model, name = _encode(delta.model or given.model), _encode(delta.id or given.id)
        self._tail = b'"modelVersion":%b,"responseId":%b}%b' % (model, name, self._close)
        self._reported = delta.usage
        return b""

    def _note_finish(self, delta: Finish) -> bytes:
        self._finishes.append(delta)
        return b""

    def _usage(self, delta: UsageNoted) -> bytes:
        self._reported = delta.reported
        return b""

    def _ping(self, delta: Ping) -> bytes:
        return b""

    def _failed(self, delta: Failed) -> bytes:
        self._over = True
        return errors.render(delta.failure) if self._array else errors.render_event(delta.failure)

    def _end(self, delta: End) -> bytes:
        self._over = True
        last: dict[str, Any] = {"candidates": [answer.finished(finish) for finish in self._finishes]}
        found = usage.rendered(self._reported)
        if found is not None:
            last["usageMetadata"] = found
        return b"%b%b,%b" % (self._open, _encode(last)[:-1], self._tail)


def _escaped(text: bytes) -> bytes:
    if text.isascii():
        return text
    for found, escape in _LINE_ENDS:
        if found in text:
            text = text.replace(found, escape)
    return text


def _likely(logprobs: tuple[TokenLogprob, ...]) -> bytes:
    return _escaped(_encode(answer.logprobs(logprobs)))

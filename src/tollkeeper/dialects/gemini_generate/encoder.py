"""Neutral pieces become Gemini's chunks.

Rule 1: a stream is `data: {json}` lines and nothing else, CR LF twice after each: Google's client stops at comments, named
        events and `[DONE]`, and takes U+2028, U+2029 and U+0085 for line ends unless they are escaped.
Rule 2: a function call is one part: it waits until its arguments are whole.
Rule 3: id and model are the same in every chunk; usage comes with the last one, which has the finish reasons.
"""

from typing import Any

import msgspec

from tollkeeper.core.conversation import Citation, TokenLogprob
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    Failure,
    ForeignPiece,
    ReasoningStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
)
from tollkeeper.core.translation import Identity
from tollkeeper.dialects.gemini_generate import answer, errors, usage
from tollkeeper.dialects.gemini_generate.decoder import DIALECT
from tollkeeper.dialects.writing import StreamWriter, Words

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


class GeminiEncoder(StreamWriter):
    """Writes one stream. Feed it all pieces in their order."""

    dialect = DIALECT

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity, in_turn=False)
        self._array = identity.framing == "array"
        self._before, self._after = (b"", b"") if self._array else (b"data: ", b"\r\n\r\n")
        self._sent = False
        self._tail = b""
        self._blocks: dict[int, _Block] = {}
        self._calls: dict[int, list[_Block]] = {}
        """Calls that have not been sent, by choice."""
        self._speaking: set[int] = set()
        """Choices with an open block of words, which no call may come between."""
        self._said: dict[int, int] = {}
        """Code points of text, by choice."""

    def feed(self, deltas: list[Delta]) -> bytes:
        if not self._array:
            return super().feed(deltas)
        out = b""
        for delta in deltas:
            chunk = super().feed([delta])
            if chunk:
                out += self._framed(chunk)
        return out

    def _framed(self, chunk: bytes) -> bytes:
        """One more element of the array."""
        begun, self._sent = self._sent, True
        return (b",\r\n" if begun else b"[") + chunk + (b"]" if self._over else b"")

    def _chunk(self, choice: int, part: bytes, rest: bytes = b"") -> bytes:
        shape = b'%b{"candidates":[{"content":{"parts":[%b],"role":"model"},"index":%d%b}],%b'
        return shape % (self._before, part, choice, rest, self._tail)

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

    def _tool(self, start: ToolStart) -> bytes:
        block = self._blocks[start.block] = _Block(start, b"", b"")
        self._calls.setdefault(start.choice, []).append(block)
        return b""

    def _words(self, start: Words) -> bytes:
        before = self._before + b'{"candidates":[{"content":{"parts":[{"text":'
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
        if delta.data.startswith(b'{"groundingMetadata":'):
            return self._chunk(delta.choice, b'{"text":""}', b"," + _escaped(delta.data[1:-1]))
        return self._chunk(delta.choice, _escaped(delta.data))

    # --- the stream -------------------------------------------------------------------------------------------------

    def _start(self, delta: Start) -> bytes:
        given = self._identity
        model, name = _encode(delta.model or given.model), _encode(delta.id or given.id)
        self._tail = b'"modelVersion":%b,"responseId":%b}%b' % (model, name, self._after)
        return b""

    def _failed(self, failure: Failure) -> bytes:
        return errors.render(failure) if self._array else errors.render_event(failure)

    def _end(self) -> bytes:
        last: dict[str, Any] = {"candidates": [answer.finished(finish) for finish in self._finishes]}
        found = usage.rendered(self._reported)
        if found is not None:
            last["usageMetadata"] = found
        return b"%b%b,%b" % (self._before, _encode(last)[:-1], self._tail)


def _escaped(text: bytes) -> bytes:
    if text.isascii():
        return text
    for found, escape in _LINE_ENDS:
        if found in text:
            text = text.replace(found, escape)
    return text


def _likely(logprobs: tuple[TokenLogprob, ...]) -> bytes:
    return _escaped(_encode(answer.logprobs(logprobs)))

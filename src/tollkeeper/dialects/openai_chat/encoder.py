"""Neutral pieces become Chat Completions' chunks.

Rule 1: id, created and model are the same in every chunk; each choice begins with its role.
Rule 2: a tool's id and name are said once, with an index that counts tool calls only (openai-python joins what is
        said again).
Rule 3: usage is the last chunk before `[DONE]`, and only for clients who asked; nothing follows `[DONE]` or an error.
"""

from typing import Any

import msgspec

from tollkeeper.core.conversation import Citation
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Failure,
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
)
from tollkeeper.core.translation import Identity
from tollkeeper.dialects.openai_chat import answer, errors
from tollkeeper.dialects.openai_chat.decoder import DIALECT
from tollkeeper.dialects.writing import StreamWriter, Words

_encode = msgspec.json.encode


class _Block:
    """An open block: what stands before and after each piece of its text, so that writing one is joining three."""

    __slots__ = ("after", "before", "choice", "citations", "index", "length", "start", "texts")

    def __init__(self, start: Any, before: bytes, after: bytes, index: int) -> None:
        self.start = start
        self.choice: int = start.choice
        self.before = before
        self.after = after
        self.length = 0
        """Code points so far."""
        self.index = index
        """The tool's, or where in the answer's text it begins, or the reasoning's place among the details."""
        self.texts: list[str] | None = [] if isinstance(start, ReasoningStart) else None
        self.citations: list[Citation] = []


class _Voice:
    """One choice so far."""

    __slots__ = ("after", "before", "cited", "refused", "said", "thoughts", "tools")

    def __init__(self, head: bytes, index: int, tail: bytes) -> None:
        self.before = b'%b"choices":[{"index":%d,"delta":' % (head, index)
        self.after = b',"logprobs":null,"finish_reason":null}]%b' % tail
        self.tools = 0
        self.thoughts = 0
        self.cited = 0
        self.said = 0
        """Code points of text."""
        self.refused = False


class ChatEncoder(StreamWriter):
    """Writes one stream. Feed it all pieces in their order."""

    dialect = DIALECT

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity, in_turn=False)
        self._head = b""
        self._tail = b',"usage":null}\n\n' if identity.stream_usage else b"}\n\n"
        self._voices: dict[int, _Voice] = {}
        self._blocks: dict[int, _Block] = {}

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _text(self, delta: TextDelta) -> bytes:
        block = self._blocks[delta.block]
        block.length += len(delta.text)
        if block.texts is not None:
            block.texts.append(delta.text)
        elif delta.logprobs:
            return self._with_logprobs(block, delta)
        return block.before + _encode(delta.text) + block.after

    def _with_logprobs(self, block: _Block, delta: TextDelta) -> bytes:
        kind = "refusal" if isinstance(block.start, RefusalStart) else "content"
        said = _encode(answer.logprobs(kind, delta.logprobs or ()))
        after = block.after.replace(b'"logprobs":null', b'"logprobs":' + said, 1)
        return block.before + _encode(delta.text) + after

    def _words(self, start: Words) -> bytes:
        head, voice = self._voice(start.choice)
        field = b'{"content":'
        index = voice.said
        if isinstance(start, RefusalStart):
            field = b'{"refusal":'
        elif isinstance(start, ReasoningStart):
            field = b'{"reasoning_content":'
            index = voice.thoughts
            voice.thoughts += 1
        self._blocks[start.block] = _Block(start, voice.before + field, b"}" + voice.after, index)
        return head

    def _tool(self, start: ToolStart) -> bytes:
        head, voice = self._voice(start.choice)
        index, voice.tools = voice.tools, voice.tools + 1
        field = b'{"custom":{"input":' if start.custom else b'{"function":{"arguments":'
        before = b'%b{"tool_calls":[{"index":%d,%b' % (voice.before, index, field[1:])
        self._blocks[start.block] = _Block(start, before, b"}}]}" + voice.after, index)
        call = {"index": index, **answer.tool_call(start.id, start.name, "", start.custom, start.seal)}
        return head + voice.before + _encode({"tool_calls": [call]}) + voice.after

    def _sealed(self, delta: Sealed) -> bytes:
        block = self._blocks[delta.block]
        voice = self._voices[block.choice]
        if isinstance(block.start, ReasoningStart):
            detail = answer.reasoning_detail(
                "".join(block.texts or ()), delta.seal, block.start.redacted, block.start.id
            )
            return voice.before + _encode({"reasoning_details": [{**detail, "index": block.index}]}) + voice.after
        extra = {"tool_calls": [{"index": block.index, "extra_content": answer.google_extra(delta.seal)}]}
        return voice.before + _encode(extra) + voice.after

    def _cited(self, delta: Cited) -> bytes:
        self._blocks[delta.block].citations.append(delta.citation)
        return b""

    def _block_end(self, delta: BlockEnd) -> bytes:
        block = self._blocks.pop(delta.block)
        voice = self._voices[block.choice]
        start = block.start
        if isinstance(start, ToolStart) and not start.custom and not block.length:
            return block.before + b'"{}"' + block.after  # clients parse what they get
        if isinstance(start, TextStart):
            voice.said = max(voice.said, block.index + block.length)
        elif isinstance(start, RefusalStart) and block.length:
            voice.refused = True
        if not block.citations:
            return b""
        annotations = [answer.annotation(found, block.index, block.index + block.length) for found in block.citations]
        said = [
            {**found, "index": voice.cited + place}  # openai-python joins lists by it
            for place, found in enumerate(found for found in annotations if found is not None)
        ]
        voice.cited += len(said)
        return voice.before + _encode({"annotations": said}) + voice.after if said else b""

    def _foreign(self, delta: ForeignPiece) -> bytes:
        return b'%b"choices":[],%b%b' % (self._head, delta.data[1:-1], self._tail)

    # --- the stream -------------------------------------------------------------------------------------------------

    def _start(self, delta: Start) -> bytes:
        given = self._identity
        shape = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,'
        name = _encode(delta.id or f"chatcmpl-{given.id}")
        self._head = shape % (name, delta.created or given.created, _encode(delta.model or given.model))
        return self._voice(0)[0]

    def _voice(self, index: int) -> tuple[bytes, _Voice]:
        """The choice, and its first chunk if this is the first that is heard of it."""
        voice = self._voices.get(index)
        if voice is not None:
            return b"", voice
        voice = self._voices[index] = _Voice(self._head, index, self._tail)
        return voice.before + b'{"role":"assistant","content":""}' + voice.after, voice

    def _finish(self, delta: Finish) -> bytes:
        head, voice = self._voice(delta.choice)
        reason = answer.finish_reason(delta.reason, voice.refused)
        after = voice.after.replace(b'"finish_reason":null', b'"finish_reason":"%b"' % reason.encode(), 1)
        return head + voice.before + b"{}" + after

    def _ping(self, delta: Ping) -> bytes:
        return b": ping\n"

    def _failed(self, failure: Failure) -> bytes:
        return errors.render_event(failure)

    def _end(self) -> bytes:
        if self._reported is None or not self._identity.stream_usage:
            return b"data: [DONE]\n\n"
        usage = _encode(answer.usage(self._reported))
        return b'%b"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % (self._head, usage)

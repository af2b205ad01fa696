"""Chat Completions' chunks become neutral pieces.

Rule 1: a chunk has no blocks: words of one kind that follow each other are one block; tool calls are told apart by
        `index`, by `id` where it is missing or always the same (Gemini's and others' imitations).
Rule 2: a choice's Finish waits for the end of the stream: words have been seen to come with and after `finish_reason`.
Rule 3: usage is known by its content, never by its place.
"""

from typing import Any

import msgspec
from msgspec import UNSET

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
    RefusalStart,
    Sealed,
    Start,
    StopReason,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.seals import unwrapped
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects import openai_usage
from tollkeeper.dialects.openai_chat import errors, shapes
from tollkeeper.dialects.openai_chat.shapes import Choice, Chunk, Logprob, ToolCall
from tollkeeper.wire import sse

DIALECT = "openai_chat"
_NULL = b"null"
_STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
_encode = msgspec.json.encode


class _Call:
    """One tool call of a choice. It begins when its name is known."""

    __slots__ = ("arguments", "block", "custom", "ended", "id", "name", "seal")

    def __init__(self) -> None:
        self.block: int | None = None
        self.id = ""
        self.name = ""
        self.custom = False
        self.seal: Seal | None = None
        self.arguments = ""
        self.ended = False


class _Voice:
    """One choice: its open block of words, its tool calls, and how it finished."""

    __slots__ = ("block", "calls", "finish", "kind", "last", "plain_reasoning", "refused")

    def __init__(self) -> None:
        self.block: int | None = None
        self.kind: type[Delta] | None = None
        self.calls: dict[int | str, _Call] = {}
        self.last: _Call | None = None
        self.finish: StopReason | None = None
        self.refused = False
        self.plain_reasoning = False


class ChatDecoder:
    """Reads chunks until `[DONE]`, or one whole answer."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._voices: dict[int, _Voice] = {}
        self._started = False
        self._blocks = 0
        self.done = False

    @property
    def finished(self) -> bool:
        """`[DONE]`; or an error, or finish reasons: not every provider sends `[DONE]` after those."""
        return self.done or any(voice.finish is not None for voice in self._voices.values())

    def feed(self, event: bytes) -> list[Delta]:
        data = sse.data_of(event)
        if data is None:
            return [PING]
        if self.done:
            return []
        if data == b"[DONE]":
            return self.close()
        return self.hear(shapes.decode(data))

    def close(self) -> list[Delta]:
        """The finishes that were held back, and the end."""
        if self.done:
            return []
        self.done = True
        out: list[Delta] = []
        for index, voice in self._voices.items():
            self._end_words(voice, out)
            for call in voice.calls.values():
                self._end_call(call, out)
            reason: StopReason = voice.finish or "end"
            if reason == "end" and voice.calls:
                reason = "tool"
            if reason == "end" and voice.refused:
                reason = "refusal"
            out.append(Finish(reason, None, index))
        out.append(END)
        return out

    def hear(self, chunk: Chunk) -> list[Delta]:
        out: list[Delta] = []
        if not self._started and (chunk.choices or chunk.id):
            self._started = True
            out.append(Start(chunk.id or None, chunk.model or None, chunk.created))
        for choice in chunk.choices or ():
            self._choice(choice, out)
        if chunk.usage is not UNSET:
            self._usage(bytes(chunk.usage), chunk.service_tier, out)
        elif chunk.x_groq is not None and chunk.x_groq.usage is not UNSET:
            self._usage(bytes(chunk.x_groq.usage), chunk.service_tier, out)
        if chunk.moderation is not UNSET and bytes(chunk.moderation) != _NULL:
            out.append(ForeignPiece(DIALECT, b'{"moderation":%b}' % bytes(chunk.moderation)))
        if chunk.prompt_filter_results is not UNSET and bytes(chunk.prompt_filter_results) != _NULL:
            out.append(ForeignPiece(DIALECT, b'{"prompt_filter_results":%b}' % bytes(chunk.prompt_filter_results)))
        if chunk.error is not UNSET and bytes(chunk.error) != _NULL:
            self.done = True
            out.append(Failed(errors.failure(bytes(chunk.error), None)))
        return out

    def _usage(self, raw: bytes, tier: str | None, out: list[Delta]) -> None:
        reported = openai_usage.reported(raw)
        if reported is not None:
            out.append(UsageNoted(reported, tier))

    def _choice(self, choice: Choice, out: list[Delta]) -> None:
        voice = self._voices.get(choice.index)
        if voice is None:
            voice = self._voices[choice.index] = _Voice()
        message = choice.delta or choice.message
        if message is not None:
            if message.reasoning_content or message.reasoning:
                voice.plain_reasoning = True
                self._say(ReasoningStart, message.reasoning_content or message.reasoning or "", choice, voice, out)
            if message.reasoning_details:
                for detail in message.reasoning_details:
                    self._detail(detail, choice, voice, out)
            content = message.content
            if content:
                if isinstance(content, str):
                    self._say(TextStart, content, choice, voice, out)
                else:
                    self._parts(content, choice, voice, out)
            if message.refusal:
                voice.refused = True
                self._say(RefusalStart, message.refusal, choice, voice, out)
            if message.annotations:
                self._annotations(message.annotations, choice, voice, out)
            if message.tool_calls:
                for position, call in enumerate(message.tool_calls):
                    self._tool(call, position if choice.message else None, choice.index, voice, out)
            if message.function_call is not None:
                self._tool(ToolCall(index=0, function=message.function_call), None, choice.index, voice, out)
        if choice.finish_reason:
            voice.finish = _STOPS.get(choice.finish_reason, "end")

    # --- words ------------------------------------------------------------------------------------------------------

    def _say(self, kind: type[Any], text: str, choice: Choice, voice: _Voice, out: list[Delta]) -> None:
        block = voice.block
        if block is None or voice.kind is not kind:
            block = self._begin(kind, choice.index, voice, out)
        heard = choice.logprobs
        logprobs = None
        if heard is not None and kind is not ReasoningStart:
            listed = heard.refusal if kind is RefusalStart else heard.content
            logprobs = tuple(_logprob(found) for found in listed) if listed else None
        out.append(TextDelta(block, text, logprobs))

    def _begin(self, kind: type[Any], index: int, voice: _Voice, out: list[Delta]) -> int:
        self._end_words(voice, out)
        for call in voice.calls.values():
            self._end_if_whole(call, out)
        block = voice.block = self._blocks
        voice.kind = kind
        self._blocks += 1
        out.append(kind(block, index))
        return block

    def _end_words(self, voice: _Voice, out: list[Delta]) -> None:
        if voice.block is not None:
            out.append(BlockEnd(voice.block))
            voice.block = None

    def _parts(self, parts: list[Any], choice: Choice, voice: _Voice, out: list[Delta]) -> None:
        """Mistral's reasoning models stream `content` as parts (https://docs.mistral.ai/capabilities/reasoning)."""
        for part in parts:
            if not isinstance(part, dict):
                continue
            thought = part.get("thinking")
            if isinstance(thought, list):
                texts = [inner.get("text") for inner in thought if isinstance(inner, dict)]
                thought = "".join(text for text in texts if isinstance(text, str))
            if isinstance(thought, str) and thought:
                self._say(ReasoningStart, thought, choice, voice, out)
            text = part.get("text")
            if isinstance(text, str) and text:
                self._say(TextStart, text, choice, voice, out)

    def _annotations(self, found: list[Any], choice: Choice, voice: _Voice, out: list[Delta]) -> None:
        for annotation in found:
            if not isinstance(annotation, dict):
                continue
            block = voice.block
            if block is None or voice.kind is not TextStart:
                block = self._begin(TextStart, choice.index, voice, out)
            out.append(Cited(block, citation(annotation)))

    def _detail(self, detail: Any, choice: Choice, voice: _Voice, out: list[Delta]) -> None:
        """OpenRouter's form of reasoning with signatures (https://openrouter.ai/docs/use-cases/reasoning-tokens)."""
        if not isinstance(detail, dict):
            return
        text = detail.get("text") or detail.get("summary")
        if isinstance(text, str) and not voice.plain_reasoning:
            self._say(ReasoningStart, text, Choice(choice.index), voice, out)
        seal = detail_seal(detail, self._sitting.origin)
        if seal is None:
            return
        if detail.get("type") == "reasoning.encrypted":
            self._end_words(voice, out)
            block, self._blocks = self._blocks, self._blocks + 1
            name = detail.get("id")
            started = ReasoningStart(block, choice.index, True, name if isinstance(name, str) else None)
            out += (started, Sealed(block, seal), BlockEnd(block))
            return
        if voice.block is None or voice.kind is not ReasoningStart:
            self._begin(ReasoningStart, choice.index, voice, out)
        out.append(Sealed(voice.block or 0, seal))
        self._end_words(voice, out)

    # --- tools ------------------------------------------------------------------------------------------------------

    def _tool(self, seen: ToolCall, position: int | None, index: int, voice: _Voice, out: list[Delta]) -> None:
        call = _which(seen, position, voice)
        name: str | None = None
        arguments: str | dict[str, Any] | None = None
        if seen.function is not None:
            name, arguments = seen.function.name, seen.function.arguments
        elif seen.custom is not None:
            name, arguments = seen.custom.name, seen.custom.input
            call.custom = True
        if seen.id and not call.id:
            call.id = seen.id
        if seen.extra_content:
            call.seal = google_seal(seen.extra_content, self._sitting.origin) or call.seal
        if isinstance(arguments, dict):
            arguments = _encode(arguments).decode()
        if call.block is None:
            call.arguments += arguments or ""
            if name:
                self._start_call(call, name, index, voice, out)
        elif arguments and not call.ended:
            call.arguments += arguments
            out.append(TextDelta(call.block, arguments))

    def _start_call(self, call: _Call, name: str, index: int, voice: _Voice, out: list[Delta]) -> None:
        self._end_words(voice, out)
        for other in voice.calls.values():
            self._end_if_whole(other, out)
        block = call.block = self._blocks
        self._blocks += 1
        call.id = call.id or f"call_{self._sitting.id}_{block}"
        call.name = self._sitting.renamed.get(name, name)
        out.append(ToolStart(block, call.id, call.name, index, call.custom, call.seal))
        if call.arguments:
            out.append(TextDelta(block, call.arguments))

    def _end_call(self, call: _Call, out: list[Delta]) -> None:
        if call.block is not None and not call.ended:
            call.ended = True
            out.append(BlockEnd(call.block))

    def _end_if_whole(self, call: _Call, out: list[Delta]) -> None:
        """Ends a call whose arguments are a whole object, so that what follows need not wait for it."""
        if call.block is None or call.ended or call.custom or not call.arguments.rstrip().endswith("}"):
            return
        try:
            msgspec.json.decode(call.arguments, type=dict)
        except ValueError:
            return
        self._end_call(call, out)


def _which(seen: ToolCall, position: int | None, voice: _Voice) -> _Call:
    """The call that a fragment belongs to."""
    key: int | str | None = seen.index if position is None else position
    known = voice.calls.get(key) if key is not None else None
    if known is not None and seen.id and known.id and known.id != seen.id:
        key, known = seen.id, voice.calls.get(seen.id)  # every call at index 0, told apart by id
    if key is None:
        if not seen.id:
            if voice.last is not None:
                return voice.last
            key = 0
        else:
            key, known = seen.id, voice.calls.get(seen.id)
    if known is None:
        known = voice.calls[key] = _Call()
    voice.last = known
    return known


def citation(annotation: dict[str, Any]) -> Citation:
    """An annotation of Chat Completions, or of one who imitates it."""
    found = annotation.get("url_citation")
    place: dict[str, Any] = found if isinstance(found, dict) else {}
    texts = {name: place.get(name) for name in ("url", "title", "content")}
    numbers = {name: place.get(name) for name in ("start_index", "end_index")}
    url, title, content = (value if isinstance(value, str) else None for value in texts.values())
    start, end = (value if isinstance(value, int) else None for value in numbers.values())
    return Citation(url, title, content, start, end, Foreign(DIALECT, _encode(annotation)))


def detail_seal(detail: dict[str, Any], origin: str) -> Seal | None:
    """The seal in one of `reasoning_details`: our own, or all of it but its words, so that it can be given back."""
    value = detail.get("data") if detail.get("type") == "reasoning.encrypted" else detail.get("signature")
    if not isinstance(value, str) or not value:
        return None
    ours = unwrapped(value, "")
    if ours.origin:
        return ours
    kept = {name: member for name, member in detail.items() if name not in ("text", "summary", "index")}
    return Seal(_encode(kept).decode(), origin)


def google_seal(extra: Any, origin: str) -> Seal | None:
    """Gemini's thought signature, as its imitation of Chat Completions has it (https://ai.google.dev/gemini-api/docs/openai)."""
    google = extra.get("google") if isinstance(extra, dict) else None
    value = google.get("thought_signature") if isinstance(google, dict) else None
    if not isinstance(value, str) or not value:
        return None
    ours = unwrapped(value, "")
    return ours if ours.origin else Seal(value, origin)


def _logprob(found: Logprob) -> TokenLogprob:
    top = tuple(TokenLogprob(other.token, other.logprob, other.bytes) for other in found.top_logprobs or ())
    return TokenLogprob(found.token, found.logprob, found.bytes, top)

"""Random neutral streams: blocks of every kind, several open at once, cut into pieces anyhow."""

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import strategies as st

from tollkeeper.core.conversation import Citation, Seal
from tollkeeper.core.deltas import (
    END,
    BlockEnd,
    Cited,
    Delta,
    Finish,
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
from tollkeeper.core.usage import Reported, Usage

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_COUNT = st.integers(0, 2**40)


@st.composite
def _arguments(draw: Any) -> list[str]:
    """A JSON object's text, in pieces."""
    value = draw(st.dictionaries(_TEXT, st.one_of(_TEXT, st.integers(0, 9), st.none()), max_size=3))
    text = msgspec.json.encode(value).decode() if value else draw(st.sampled_from(["", "{}"]))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4)))
    bounds = [0, *cuts, len(text)]
    return [piece for begin, end in pairwise(bounds) if (piece := text[begin:end])]


@st.composite
def _words(draw: Any, block: int, sealed: bool) -> list[Delta]:
    """One block of text, reasoning or refusal, from start to end."""
    kind = draw(st.sampled_from([TextStart, ReasoningStart, RefusalStart]))
    pieces: list[Delta] = [TextDelta(block, text) for text in draw(st.lists(_TEXT, max_size=4))]
    if kind is TextStart and draw(st.booleans()):
        pieces.append(
            Cited(block, Citation(draw(st.just("https://example.org/") | st.just("https://a.b/c")), "t", "w"))
        )
    if kind is ReasoningStart and sealed:
        if draw(st.booleans()):
            return [ReasoningStart(block, 0, True), Sealed(block, Seal("enc", "someone")), BlockEnd(block)]
        pieces.append(Sealed(block, Seal("signed", "someone")))
    return [kind(block), *pieces, BlockEnd(block)]


@st.composite
def _tool(draw: Any, block: int) -> list[Delta]:
    name = draw(st.sampled_from(["call_1", "functions.Bash:0", "toolu_01", "a b"])) + str(block)
    pieces: list[Delta] = [TextDelta(block, text) for text in draw(_arguments())]
    return [ToolStart(block, name, "tool"), *pieces, BlockEnd(block)]


@st.composite
def interleaved(draw: Any) -> list[Delta]:
    """The inside of a stream: words one block after the other, tool calls open beside them and each other."""
    sealed = draw(st.booleans())
    blocks: list[list[Delta]] = []
    refused = False
    """A model that refuses says nothing more, though it may still call."""
    for number in range(draw(st.integers(0, 5))):
        blocks.append(draw(_tool(number) if refused or draw(st.booleans()) else _words(number, sealed)))
        refused = refused or isinstance(blocks[-1][0], RefusalStart)
    out: list[Delta] = []
    begun: list[list[Delta]] = []
    waiting = list(blocks)
    while begun or waiting:
        worded = any(not isinstance(block[0], ToolStart) for block in begun_kinds(begun, blocks))
        thinking = any(isinstance(block[0], ReasoningStart) for block in begun_kinds(begun, blocks))
        can_begin = bool(waiting) and not thinking and not (worded and not isinstance(waiting[0][0], ToolStart))
        if can_begin and (not begun or draw(st.booleans())):
            begun.append(waiting.pop(0)[:])
            out.append(begun[-1].pop(0))
            continue
        chosen = begun[draw(st.integers(0, len(begun) - 1))]
        out.append(chosen.pop(0))
        if not chosen:
            begun.remove(chosen)
    return out


def begun_kinds(begun: list[list[Delta]], blocks: list[list[Delta]]) -> list[list[Delta]]:
    """The whole blocks of those that are open."""
    open_blocks = {block[0].block for block in begun}  # type: ignore[attr-defined]
    return [block for block in blocks if block[0].block in open_blocks]  # type: ignore[attr-defined]


@st.composite
def streams(draw: Any) -> list[Delta]:
    """A whole stream of one choice, with pings, usage before or after the stop reason, and an end."""
    inside = draw(interleaved())
    for _ in range(draw(st.integers(0, 2))):
        inside.insert(draw(st.integers(0, len(inside))), Ping())
    cached = draw(_COUNT)
    usage = Usage(
        input_tokens=cached + draw(_COUNT),
        cached_input_tokens=cached,
        output_tokens=(output := draw(_COUNT)),
        reasoning_tokens=draw(st.integers(0, output)),
    )
    noted = UsageNoted(Reported(usage, b"{}"))
    reason = draw(st.sampled_from(["end", "length", "stop_sequence", "refusal", "filter", "context", "pause"]))
    finish = Finish(reason, "STOP" if reason == "stop_sequence" else None)
    last = [noted, finish] if draw(st.booleans()) else [finish, noted]
    return [Start("answer-1", "model-1"), *inside, *last, END]

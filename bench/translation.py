"""What translating a stream costs beside relaying it: CPU of the gate's process for an event, both in turn.

`scripts/bench --only translation`, or `python -m bench.translation` alone, gives a line for each pair of dialects. One
stream goes through `EventStream` as the relay feeds it: once with the reader of one dialect on both sides, once with a
translating one.
"""

import time
from collections.abc import Callable

from msgspec import Struct

from tollkeeper.core.deltas import BlockEnd, Delta, End, Finish, Start, TextDelta, TextStart, UsageNoted
from tollkeeper.core.ports import EventReader
from tollkeeper.core.translation import Identity, Sitting, Translator
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects.crossing import Crossing
from tollkeeper.dialects.paths import RELAYED
from tollkeeper.dialects.translators import TRANSLATORS
from tollkeeper.flow.event_stream import EventStream
from tollkeeper.wire import ndjson
from tollkeeper.wire.ndjson import LineScanner
from tollkeeper.wire.sse import EventScanner


class Pair(Struct):
    """Microseconds of CPU for an event."""

    provider: str
    client: str
    relayed: float
    translated: float

    @property
    def times(self) -> float:
        return self.translated / self.relayed


EVENTS = 2_000
ROUNDS = 7
_PROVIDERS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate", "ollama_chat")
_IDENTITY = Identity(id="1", created=1_700_000_000, model="model-1")


def stream() -> list[Delta]:
    """An answer of many small words."""
    words: list[Delta] = [TextDelta(0, f" word{number % 97}") for number in range(EVENTS)]
    usage = UsageNoted(Reported(Usage(input_tokens=9, output_tokens=EVENTS), b"{}"))
    return [Start("1", "model-1", 1), TextStart(0), *words, BlockEnd(0), Finish("end"), usage, End()]


def microseconds(reader: Callable[[], EventReader], chunks: list[bytes], lines: bool, translated: bool) -> float:
    """CPU for an event, the least of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        scanner = LineScanner() if lines else EventScanner()
        events = EventStream(reader(), scanner, may_change=translated, longest=1 << 20, translated=translated)
        began = time.process_time()
        for chunk in chunks:
            events.feed(chunk)
        best = min(best, time.process_time() - began)
        if events.garbled:
            raise ValueError("the stream was not understood")
    return best / len(chunks) * 1e6


def measured(client: Translator, provider: Translator) -> tuple[float, float]:
    """Microseconds for an event: relayed, translated."""
    encoder = provider.encoder(_IDENTITY)
    chunks = [chunk for chunk in (encoder.feed([delta]) for delta in stream()) if chunk]
    dialect = RELAYED[provider.name]
    lines = dialect.stream_type == ndjson.MEDIA_TYPE
    crossing = Crossing(client, provider, Sitting(origin="someone"), _IDENTITY)
    relayed = microseconds(lambda: dialect.reader(False), chunks, lines, translated=False)
    return relayed, microseconds(crossing.reader, chunks, lines, translated=True)


def pairs() -> list[Pair]:
    """Every client that is translated for, before every provider."""
    return [
        Pair(provider, client, *measured(TRANSLATORS[client], TRANSLATORS[provider]))
        for provider in _PROVIDERS
        for client in _PROVIDERS
        if client != provider
    ]


def table(found: list[Pair]) -> str:
    """To read."""
    rows = [f"{'translated streams, µs of CPU an event':52} {'relayed':>10} {'translated':>11} {'times':>6}"]
    for pair in found:
        words = f"{pair.provider} to a client of {pair.client}"
        rows.append(f"  {words:50} {pair.relayed:10.2f} {pair.translated:11.2f} {pair.times:6.2f}")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(pairs()))

"""Structured logs: one line an event, JSON or for reading, collected for a moment and written together.

No prompt, no answer and no secret is ever in them: a line is made of an event's fields, nothing else.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TextIO

import msgspec

from tollkeeper.core.events import Event
from tollkeeper.core.ids import Clock
from tollkeeper.core.money import usd_from_nano

Format = Literal["json", "console", "off"]
_encode = msgspec.json.encode


class Log:
    """Writes lines. `schedule` runs a function a little later; until then lines are kept."""

    def __init__(
        self,
        format: Format,
        now: Clock,
        schedule: Callable[[Callable[[], None]], object] | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._format = format
        self._now = now
        self._schedule = schedule
        self._stream = stream if stream is not None else sys.stderr
        self._lines: list[bytes] = []

    def __call__(self, event: Event) -> None:
        """One line for one attempt."""
        if self._format == "json":
            self._add(_json_line(event))
        elif self._format == "console":
            self._add(_console_line(event))

    def say(self, what: str, **fields: object) -> None:
        """One line for something that is not a call: started, reloaded, trouble with the ledger."""
        moment = datetime.fromtimestamp(self._now(), UTC)
        if self._format == "json":
            self._add(_encode({"time": moment.isoformat(timespec="milliseconds"), "event": what, **fields}))
        elif self._format == "console":
            rest = " ".join(f"{name}={value}" for name, value in fields.items())
            self._add(_line(f"{moment:%H:%M:%S} {what} {rest}".rstrip()))

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        if self._schedule is None:
            self.flush()
        elif len(self._lines) == 1:
            self._schedule(self.flush)

    def flush(self) -> None:
        """Writes what is kept. A reader of the log that has gone away takes nothing down."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        lines.append(b"")
        try:
            self._stream.write(b"\n".join(lines).decode("utf-8", "replace"))
            self._stream.flush()
        except (OSError, ValueError):
            return


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _moment(milliseconds: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}+00:00"


def _hundredths(milliseconds: float) -> float:
    """To two places. `round` goes by way of the exact decimal: a line has three, for as much as all the rest of it."""
    return (milliseconds * 100 + 0.5) // 1 / 100


def _json_line(event: Event) -> bytes:
    return _encode(
        {
            "time": _moment(event.started_at),
            "event": "call",
            "request_id": event.request_id,
            "attempt": event.attempt,
            "key": event.key_id,
            "operation": event.operation,
            "model_asked": event.model_asked,
            "provider": event.provider,
            "model": event.model,
            "streamed": event.streamed,
            "outcome": event.outcome,
            "status": event.status,
            "error": event.error_code,
            "quality": event.quality,
            "input_tokens": event.usage.input_tokens,
            "output_tokens": event.usage.output_tokens,
            "cost_usd": None if event.cost_nano is None else usd_from_nano(event.cost_nano),
            "first_byte_ms": None if event.first_byte_ms is None else _hundredths(event.first_byte_ms),
            "duration_ms": _hundredths(event.duration_ms),
            "overhead_ms": _hundredths(event.overhead_ms),
        }
    )


def _console_line(event: Event) -> bytes:
    moment = datetime.fromtimestamp(event.started_at / 1000, UTC)
    usage = event.usage
    cost = "unpriced" if event.cost_nano is None else f"{usd_from_nano(event.cost_nano)} USD"
    trouble = f" {event.error_code}" if event.error_code else ""
    return _line(
        f"{moment:%H:%M:%S} {event.key_id} {event.operation} {event.model_asked or '-'} -> "
        f"{event.provider}/{event.model or '-'} {event.outcome}{trouble} {event.status} "
        f"in={usage.input_tokens} out={usage.output_tokens} {cost} {event.duration_ms:.0f}ms "
        f"(gate {event.overhead_ms:.1f}ms) {event.request_id}"
    )


def _line(text: str) -> bytes:
    """One line, whatever a provider's error code or a broken config has in it."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "�" for character in text)
    return text.encode("utf-8", "replace")

"""What a provider's answer says of its limits: `retry-after` and the `ratelimit` headers, in every form in use; pure.

Nothing in them is trusted: what is not a number, lies in the past or is absurd is nothing or is clamped.
Sources: RFC 9110, 10.2.3 (retry-after); https://platform.openai.com/docs/guides/rate-limits
(x-ratelimit-*, retry-after-ms); https://docs.anthropic.com/en/api/rate-limits (anthropic-ratelimit-*).
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

from tollkeeper.core.remembered import Remembered

LONGEST_WAIT = 300.0
"""Seconds: nobody is made to wait longer for a provider's word."""
_LONGEST_RESET = 3600.0
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$"
)
_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_EPOCH = 1_000_000_000
"""A reset that is a greater number than this is a Unix time, not a span."""


class Allowance(Struct, frozen=True):
    """One limit as the provider sees it now."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    """Seconds until it is whole again, 0 to 3600."""


class RateHeaders(Struct, frozen=True):
    """All that one answer says; None where it says nothing that can be used."""

    retry_after: float | None = None
    """Seconds, 0 to LONGEST_WAIT."""
    requests: Allowance | None = None
    tokens: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None


NOTHING = RateHeaders()


def read(headers: Iterable[tuple[bytes, bytes]], now: float) -> RateHeaders:
    """Of an answer's headers, names in lower case; `now` is Unix seconds."""
    found = {name: value for name, value in headers if _tells[name]}
    if not found:
        return NOTHING
    return RateHeaders(
        retry_after(found, now),
        _allowance(found, b"requests", now),
        _allowance(found, b"tokens", now),
        _allowance(found, b"input-tokens", now),
        _allowance(found, b"output-tokens", now),
    )


_tells = Remembered[bytes, bool](lambda name: b"ratelimit" in name or name.startswith(b"retry-after"))
"""Whether a header's name is one of these."""


def retry_after(headers: Mapping[bytes, bytes], now: float) -> float | None:
    """Seconds to wait; `retry-after-ms` is finer and comes first. None where neither says anything usable."""
    milliseconds = _number(headers.get(b"retry-after-ms"))
    if milliseconds is not None and milliseconds >= 0:
        return min(milliseconds / 1000, LONGEST_WAIT)
    given = headers.get(b"retry-after")
    seconds = _number(given)
    if seconds is None and given is not None:
        seconds = _until(given.decode("ascii", "replace"), now)
    if seconds is None or seconds < 0:
        return None
    return min(seconds, LONGEST_WAIT)


def _allowance(headers: Mapping[bytes, bytes], kind: bytes, now: float) -> Allowance | None:
    for limit, remaining, reset in _names(kind):
        found = Allowance(
            _positive(headers.get(limit)), _positive(headers.get(remaining)), _reset(headers.get(reset), now)
        )
        if found.remaining is not None or found.reset is not None or found.limit is not None:
            return found
    return None


def _names(kind: bytes) -> tuple[tuple[bytes, bytes, bytes], ...]:
    return (
        (b"x-ratelimit-limit-" + kind, b"x-ratelimit-remaining-" + kind, b"x-ratelimit-reset-" + kind),
        (
            b"anthropic-ratelimit-" + kind + b"-limit",
            b"anthropic-ratelimit-" + kind + b"-remaining",
            b"anthropic-ratelimit-" + kind + b"-reset",
        ),
    )


def _positive(value: bytes | None) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _number(value: bytes | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _reset(value: bytes | None, now: float) -> float | None:
    """ "6m0s", "20ms", seconds, a Unix time (seconds or milliseconds), or an RFC 3339 time."""
    if value is None:
        return None
    number = _number(value)
    text = value.decode("ascii", "replace").strip()
    if number is not None:
        seconds = number
        if number > _EPOCH:
            seconds = (number / 1000 if number > _EPOCH * 100 else number) - now
    elif (match := _DURATION.match(text)) and any(match.groups()):
        seconds = sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
    else:
        until = _until(text, now)
        if until is None:
            return None
        seconds = until
    return min(max(seconds, 0.0), _LONGEST_RESET)


def _until(text: str, now: float) -> float | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = parse(text)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None

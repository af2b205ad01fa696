"""How a cost came about: tokens by kind times the unit price of that kind, line by line, adding up to the cost; pure.

The unit prices that were used travel with the event as one of its notes, so that the sum can be made again years later:
["price", input, output, cached_input, cache_write, audio_input, cached_audio_input, audio_output, request,
cache_write_1h, web_search], nano-USD per million tokens (`request`, `web_search`: nano-USD), null for a kind without a
price of its own, what is idle at the end left out.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from tollkeeper.core.money import MILLION, NANO, Price, split
from tollkeeper.core.usage import Usage

NOTE = "price"
_FIELDS = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "audio_input",
    "cached_audio_input",
    "audio_output",
    "request",
    "cache_write_1h",
    "web_search",
)
_IDLE: dict[str, int | None] = {"input": 0, "output": 0, "request": 0, "web_search": 0}
EACH = frozenset(("request", "web_search"))
"""Kinds that are charged one by one, not by tokens."""
UNKNOWN = '["price",null]'
"""Noted where tokens times unit prices do not give what was charged: the price has units that no token count shows."""


class Line(Struct, frozen=True):
    """One kind of tokens in a cost."""

    kind: str
    tokens: int
    """For a kind in EACH: how many."""
    unit_nano: int
    """Nano-USD per million tokens; for a kind in EACH: nano-USD."""
    priced_as: str | None
    """The kind whose price was taken, where this one has none of its own."""
    amount_femto: int
    """Femto-USD (1e-15), exact: a nano-dollar has a million."""


@lru_cache(4096)
def note(price: Price | None) -> str:
    """The unit prices as the text of a note in JSON; None: they cannot be told."""
    if price is None:
        return UNKNOWN
    values = [getattr(price, field) for field in _FIELDS]
    while values and values[-1] == _IDLE.get(_FIELDS[len(values) - 1]):
        values.pop()
    return msgspec.json.encode((NOTE, *values)).decode()


def noted(note: Sequence[object], version: str) -> Price | None:
    """The unit prices of a note; None where it does not tell them. Raises ValueError where it is no such note."""
    if list(note[1:]) == [None]:
        return None
    if note[0] != NOTE or len(note) > len(_FIELDS) + 1:
        raise ValueError("not a note of unit prices")
    given = dict(zip(_FIELDS, note[1:], strict=False))
    try:
        return msgspec.convert({**given, "version": version}, Price)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a note of unit prices: {error}") from None


def lines(price: Price, usage: Usage) -> list[Line]:
    """The cost of `usage`, kind by kind, kinds without tokens left out. Their sum, rounded, is `price.cost(usage)`."""
    parts = split(usage)
    cached = ("cached_input", "input")
    audio = ("audio_input", "input")
    cached_audio = ("cached_audio_input", *(audio if price.cached_input is None else cached))
    counted: list[tuple[str, int, tuple[str, ...]]] = [
        ("input", parts.plain, ("input",)),
        ("cached_input", parts.cached, cached),
        ("cache_write", parts.written, ("cache_write", "input")),
        ("cache_write_1h", parts.written_1h, ("cache_write_1h", "cache_write", "input")),
        ("audio_input", parts.audio, audio),
        ("cached_audio_input", parts.cached_audio, cached_audio),
        ("output", usage.output_tokens - parts.spoken, ("output",)),
        ("audio_output", parts.spoken, ("audio_output", "output")),
    ]
    found = []
    for kind, tokens, order in counted:
        if tokens:
            taken = next(field for field in order if getattr(price, field) is not None)
            unit = getattr(price, taken)
            found.append(Line(kind, tokens, unit, None if taken == kind else taken, tokens * unit))
    for kind, count in (("request", 1), ("web_search", usage.web_searches)):
        unit = getattr(price, kind)
        if count and unit:
            found.append(Line(kind, count, unit, None, count * unit * MILLION))
    return found


def rounded(lines: Sequence[Line]) -> int:
    """What lines add up to in nano-USD, half a nano-dollar rounded up, once."""
    return (sum(line.amount_femto for line in lines) + MILLION // 2) // MILLION


def usd_from_femto(femto: int) -> str:
    """Femto-USD to an exact decimal string without exponent."""
    sign, rest = ("-", -femto) if femto < 0 else ("", femto)
    whole, fraction = divmod(rest, NANO * MILLION)
    digits = f"{fraction:015d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"

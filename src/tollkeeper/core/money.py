"""Money is integers: nano-USD for amounts, nano-USD per million tokens for prices."""

from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from msgspec import Struct, structs

from tollkeeper.core.usage import Usage

NANO = 1_000_000_000
MILLION = 1_000_000


def nano_from_usd(usd: Decimal) -> int:
    """USD to nano-USD, half a nano-dollar rounded away from zero."""
    return int((usd * NANO).to_integral_value(ROUND_HALF_UP))


def usd_from_nano(nano: int) -> str:
    """Nano-USD to an exact decimal string without exponent: 1500000 -> "0.0015"."""
    sign, rest = ("-", -nano) if nano < 0 else ("", nano)
    whole, fraction = divmod(rest, NANO)
    digits = str(NANO + fraction)[1:].rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


class Price(Struct, frozen=True, kw_only=True, cache_hash=True):
    """What one provider asks for one model: nano-USD per million tokens, per kind; None where that kind has no price.

    Kinds are disjoint when charged (see `split`), and a kind without a price of its own is charged as the kind it is
    part of: cached audio as cached input, writes for an hour as other writes, everything else as plain input or output.
    """

    version: str
    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    audio_input: int | None = None
    cached_audio_input: int | None = None
    audio_output: int | None = None
    request: int = 0
    web_search: int = 0
    """Nano-USD for each search that the provider makes, as `request` is for each request."""
    context: int | None = None
    """Tokens that the model takes in and gives out together, where that is known."""

    def dearest(self) -> tuple[int, int]:
        """The most that a token of input and a token of output can cost, in nano-USD per million."""
        found, output = self.input, self.output
        if self.cached_input is not None and self.cached_input > found:
            found = self.cached_input
        if self.cache_write is not None and self.cache_write > found:
            found = self.cache_write
        if self.cache_write_1h is not None and self.cache_write_1h > found:
            found = self.cache_write_1h
        if self.audio_input is not None and self.audio_input > found:
            found = self.audio_input
        if self.cached_audio_input is not None and self.cached_audio_input > found:
            found = self.cached_audio_input
        if self.audio_output is not None and self.audio_output > output:
            output = self.audio_output
        return found, output

    def cost(self, usage: Usage) -> int:
        """Cost of `usage` in nano-USD, rounded half up once, at the end."""
        if not (
            usage.cached_input_tokens
            or usage.cache_write_tokens
            or usage.audio_input_tokens
            or usage.cached_audio_input_tokens
            or usage.audio_output_tokens
            or usage.cache_write_1h_tokens
            or usage.web_searches
        ):  # most calls, at a third of the time
            total = usage.input_tokens * self.input + usage.output_tokens * self.output
            return (total + MILLION // 2) // MILLION + self.request
        parts = split(usage)
        cached = self.input if self.cached_input is None else self.cached_input
        audio = self.input if self.audio_input is None else self.audio_input
        total = parts.plain * self.input + parts.cached * cached
        if parts.written or parts.written_1h:
            written = self.input if self.cache_write is None else self.cache_write
            total += parts.written * written
            total += parts.written_1h * (written if self.cache_write_1h is None else self.cache_write_1h)
        if parts.audio:
            total += parts.audio * audio
        if parts.cached_audio:
            fallback = audio if self.cached_input is None else cached
            total += parts.cached_audio * (fallback if self.cached_audio_input is None else self.cached_audio_input)
        total += parts.spoken * (self.output if self.audio_output is None else self.audio_output)
        total += (usage.output_tokens - parts.spoken) * self.output
        return (total + MILLION // 2) // MILLION + self.request + usage.web_searches * self.web_search

    def halved(self) -> "Price":
        """Half of it, each part rounded up to a whole nano-dollar; the price itself where it cannot be taken in half."""
        half: dict[str, int | None] = {}
        for field in _HALVED:
            whole: int | None = getattr(self, field)
            half[field] = None if whole is None else (whole + 1) // 2
        return structs.replace(self, version=f"{self.version}, half", **half)

    def in_force(self, usage: Usage) -> "Price | None":
        """The plain unit prices that `cost` charges `usage` at; None where no such prices give that cost."""
        return self


_HALVED = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "cached_audio_input",
    "audio_output",
    "request",
)


class Parts(NamedTuple):
    """Tokens of one usage, each in one place only. The input's six add up to it."""

    plain: int
    cached: int
    """Read from a cache, not audio."""
    written: int
    """To a cache, for as long as it keeps things unasked."""
    written_1h: int
    audio: int
    """Audio, not from a cache."""
    cached_audio: int
    spoken: int
    """Audio output."""


def split(usage: Usage) -> Parts:
    """Takes a usage apart so that nothing is charged twice, whatever a provider says of parts greater than the whole."""
    left = usage.input_tokens
    both = min(usage.cached_audio_input_tokens, usage.cached_input_tokens, usage.audio_input_tokens, left)
    left -= both
    cached = min(usage.cached_input_tokens - both, left)
    left -= cached
    written = min(usage.cache_write_tokens, left)
    left -= written
    hour = min(usage.cache_write_1h_tokens, written)
    audio = min(usage.audio_input_tokens - both, left)
    spoken = min(usage.audio_output_tokens, usage.output_tokens)
    return Parts(left - audio, cached, written - hour, hour, audio, both, spoken)

"""Money is integers: nano-USD for amounts, nano-USD per million tokens for prices."""

from decimal import ROUND_HALF_UP, Decimal

from msgspec import Struct

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
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


class Price(Struct, frozen=True, kw_only=True):
    """What one provider asks for one model: nano-USD per million tokens, per kind; None where that kind has no price.

    Kinds are disjoint when charged: cached, cache-write and audio tokens are taken out of the input before the input
    price applies, and a kind without a price of its own is charged as plain input or output.
    """

    version: str
    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    audio_input: int | None = None
    cached_audio_input: int | None = None
    audio_output: int | None = None
    request: int = 0

    def cost(self, usage: Usage) -> int:
        """Cost of `usage` in nano-USD, rounded half up once, at the end."""
        cached = usage.cached_input_tokens
        cached_audio = min(usage.cached_audio_input_tokens, cached) if self.cached_audio_input is not None else 0
        audio_in = usage.audio_input_tokens - cached_audio if self.audio_input is not None else 0
        write = usage.cache_write_tokens if self.cache_write is not None else 0
        read = cached - cached_audio if self.cached_input is not None else 0
        if self.cached_input is None:
            cached_audio = 0
        audio_out = usage.audio_output_tokens if self.audio_output is not None else 0
        plain_in = max(0, usage.input_tokens - read - cached_audio - write - audio_in)
        plain_out = max(0, usage.output_tokens - audio_out)
        total = plain_in * self.input + plain_out * self.output
        if read:
            total += read * (self.cached_input or 0)
        if cached_audio:
            total += cached_audio * (self.cached_audio_input or 0)
        if write:
            total += write * (self.cache_write or 0)
        if audio_in:
            total += audio_in * (self.audio_input or 0)
        if audio_out:
            total += audio_out * (self.audio_output or 0)
        return (total + MILLION // 2) // MILLION + self.request

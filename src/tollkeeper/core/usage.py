"""What a call consumed: tokens by kind, and searches, in one normal form for every provider."""

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one attempt.

    `input_tokens` includes cached, cache-write and audio input; `output_tokens` includes reasoning and audio output
    (OpenTelemetry GenAI counts the same way). The other tokens are subsets of those two.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    cache_write_1h_tokens: int = 0
    """Those of `cache_write_tokens` that the cache keeps for an hour, where that has a price of its own."""
    web_searches: int = 0
    """Searches that the provider made and charges one by one; no tokens."""


NOTHING = Usage()


class Reported(Struct, frozen=True):
    """What a provider said: the usage in normal form, and the very bytes it came in."""

    usage: Usage
    raw: bytes


class Heard(Struct, frozen=True):
    """What a whole answer said about itself."""

    reported: Reported | None = None
    model: str | None = None
    tier: str | None = None
    """The service tier that it was served in, as the provider names it; prices differ by it."""
    once: str | None = None
    """The answer's own id, where its usage is reported whenever it is looked at and must be charged only once."""

"""What one attempt can cost at most, in money and in tokens; pure."""

from tollkeeper.core.budget import Unit
from tollkeeper.core.money import MILLION, Price

NO_END = 1 << 62
"""Output tokens where they cost nothing."""


class Ceiling:
    """Input is bounded, output is what may still be chosen. Token counts are of all choices together."""

    __slots__ = ("_input_nano", "_output_rate", "_request", "input_tokens")

    def __init__(self, input_tokens: int, price: Price | None) -> None:
        self.input_tokens = input_tokens
        input_rate, self._output_rate = (0, 0) if price is None else price.dearest()
        self._request = 0 if price is None else price.request
        self._input_nano = input_tokens * input_rate

    def of(self, unit: Unit, output_tokens: int) -> int:
        """Nano-USD, rounded up, or tokens."""
        if unit == "tokens":
            return self.input_tokens + output_tokens
        return -(-(self._input_nano + output_tokens * self._output_rate) // MILLION) + self._request

    def output_within(self, unit: Unit, room: int) -> int:
        """How many output tokens `room` pays for besides the input; below zero where it does not pay for that."""
        if unit == "tokens":
            return room - self.input_tokens
        left = (room - self._request) * MILLION - self._input_nano
        if self._output_rate == 0:
            return NO_END if left >= 0 else -1
        return left // self._output_rate

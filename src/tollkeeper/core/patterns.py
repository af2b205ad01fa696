"""Patterns that operators write, run over what strangers send: each comparison takes a bounded time, whatever they are.

Python's own re has no bound: for `(a|aa)+$` and sixty letters it takes hours, and everybody's requests wait meanwhile.
regex (well kept, Apache-2.0, brought along by tiktoken) reads patterns as re does and looks at the CPU's clock. It is
loaded with the first pattern.
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, AnyStr, Generic

from msgspec import Struct

from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock
from tollkeeper.core.limits import Positive, Seconds

if TYPE_CHECKING:
    import regex

SHORT = 20
"""Characters of a text with which no pattern can take long."""


class PatternBounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[routing.patterns]"""

    seconds: Seconds = 0.05
    """Of CPU that a comparison may take."""
    characters: Positive = 20_000_000
    """Of a text for which it may take a second more: a body of megabytes is looked through in its time."""
    rest: Seconds = 10.0
    """Seconds for which a pattern that took too long is not tried again with texts of half that length or more: nobody may
    have the gate spend its time over and over."""


class BadPattern(ValueError):
    """It is no regular expression; the words say why."""


class Pattern(Generic[AnyStr]):
    """One pattern. Its methods raise CallerError (pattern_undecided) where a comparison takes too long."""

    __slots__ = ("_bounds", "_compiled", "_monotonic", "_rests_until", "_slow_from", "text")

    def __init__(
        self, text: AnyStr, compiled: "regex.Pattern[AnyStr]", bounds: PatternBounds, monotonic: Clock
    ) -> None:
        self.text: AnyStr = text
        """As it was written."""
        self._compiled = compiled
        self._bounds = bounds
        self._monotonic = monotonic
        self._slow_from = 0
        """Of texts as long as this it is not tried until `_rests_until`."""
        self._rests_until = 0.0

    def search(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """As re does."""
        if len(text) <= SHORT:
            return self._compiled.search(text)  # type: ignore[no-any-return]
        return self._bounded(text, lambda seconds: self._compiled.search(text, timeout=seconds))  # type: ignore[no-any-return]

    def sub(self, replaced: Callable[[re.Match[AnyStr]], AnyStr], text: AnyStr, count: int = 0) -> AnyStr:
        """As re does."""
        return self._bounded(  # type: ignore[no-any-return]
            text, lambda seconds: self._compiled.sub(replaced, text, count=count, timeout=seconds)
        )

    def _bounded(self, text: AnyStr, run: Callable[[float], Any]) -> Any:
        if self._rests_until and len(text) >= self._slow_from and self._monotonic() < self._rests_until:
            raise _undecided()
        try:
            return run(self._bounds.seconds + len(text) / self._bounds.characters)
        except TimeoutError:
            self._slow_from = len(text) // 2  # or it would be tried with ever shorter texts, one after the other
            self._rests_until = self._monotonic() + self._bounds.rest
            raise _undecided() from None


class Patterns:
    """Compiles patterns that have bounds of their own."""

    def __init__(self, bounds: PatternBounds | None = None, monotonic: Clock = time.monotonic) -> None:
        self._bounds = PatternBounds() if bounds is None else bounds
        self._monotonic = monotonic

    def compiled(self, pattern: AnyStr, flags: int = 0) -> Pattern[AnyStr]:
        """`flags` are re's: IGNORECASE, MULTILINE, DOTALL, VERBOSE. Raises BadPattern."""
        import regex

        try:
            return Pattern(pattern, regex.compile(pattern, flags), self._bounds, self._monotonic)
        except (regex.error, RecursionError, OverflowError) as error:
            raise BadPattern(str(error)) from None


compiled = Patterns().compiled
"""Within the bounds that hold where nothing else is said: to see whether it is a pattern, and for operators' own texts."""


def _undecided() -> CallerError:
    return CallerError("This cannot be compared with the gate's patterns in time.", code="pattern_undecided")

"""What a pure function gave for each of a bounded number of arguments, found again at the price of a lookup."""

from collections.abc import Callable
from typing import TypeVar

LONGEST = 256
"""Bytes."""

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """`remembered[argument]` is `function(argument)`. For what is asked for dozens of times a request, such as headers'
    names: `lru_cache`, which keeps an order as well, takes ten times as long.

    What is longer than such names are is not kept: a caller who thinks up arguments may not fill the memory with them.
    """

    __slots__ = ("_function", "_most")

    def __init__(self, function: Callable[[K], V], most: int = 1024) -> None:
        super().__init__()
        self._function = function
        self._most = most

    def __missing__(self, argument: K) -> V:
        if isinstance(argument, bytes) and len(argument) > LONGEST:
            return self._function(argument)
        if len(self) >= self._most:
            self.clear()
        found = self[argument] = self._function(argument)
        return found

"""Names of tools that a provider would not take, shortened so that the client gets its own back."""

import hashlib
import re
from collections.abc import Iterable

_BAD = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS = 8


class ToolNames:
    """One request's names: what the provider is told, and the way back (`renamed`)."""

    def __init__(self, names: Iterable[str], longest: int) -> None:
        self.renamed: dict[str, str] = {}
        """The client's names by the provider's, where they differ."""
        self._told: dict[str, str] = {}
        self._longest = longest
        for name in names:
            self.told(name)

    def told(self, name: str) -> str:
        """What the provider is told."""
        found = self._told.get(name)
        if found is None:
            found = self._told[name] = _fitting(name, self._longest)
            if found != name:
                self.renamed[found] = name
        return found


def _fitting(name: str, longest: int) -> str:
    """Letters, digits, _ and - only, at most `longest` of them; unlike names stay unlike."""
    if len(name) <= longest and name and not _BAD.search(name):
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{_BAD.sub('_', name)[: longest - _DIGITS - 1]}_{mark}"

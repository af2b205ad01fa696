"""Ids of tool calls: Anthropic takes letters, digits, _ and - only, others have had dots and colons."""

import base64
import re

_GOOD = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_MARK = "toolu_tk_"


def told(name: str) -> str:
    """An id that Anthropic takes; `original` finds the way back."""
    if _GOOD.match(name) and not name.startswith(_MARK):
        return name
    return _MARK + base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def original(name: str) -> str:
    """The id that was told so."""
    if not name.startswith(_MARK):
        return name
    coded = name[len(_MARK) :]
    try:
        found = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except ValueError:
        return name
    return found if told(found) == name else name

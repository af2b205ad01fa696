"""Seals on their way through clients who speak another dialect: wrapped, so that they come back with their origin.

A client keeps reasoning and its signature and sends both back. Where provider and client speak different dialects, the
signature travels as `tk1.<origin>.<signature>`; whoever reads it later knows whom it may be shown to.
"""

from tollkeeper.core.conversation import Seal

_MARK = "tk1."
"""A request that holds it cannot be relayed as it is: a provider would take the wrapping for a broken signature."""
_CALL_MARK = "tk1c."
"""A seal that belongs to the tool call after it, in dialects that can only seal reasoning."""


def wrapped(seal: Seal, dialect: str, *, of_call: bool = False) -> str:
    """The seal as a client of `dialect` gets it: bare where it is that dialect's own."""
    if seal.origin == dialect and not of_call:
        return seal.value
    return f"{_CALL_MARK if of_call else _MARK}{seal.origin}.{seal.value}"


def unwrapped(text: str, dialect: str) -> Seal:
    """The seal that a client of `dialect` sent back. Without our mark it is of that dialect, whoever's it was."""
    for mark in (_MARK, _CALL_MARK):
        if text.startswith(mark):
            origin, dot, value = text[len(mark) :].partition(".")
            if dot:
                return Seal(value, origin)
    return Seal(text, dialect)


def belongs_to_call(text: str) -> bool:
    """Whether it was wrapped as the seal of the tool call after it."""
    return text.startswith(_CALL_MARK)

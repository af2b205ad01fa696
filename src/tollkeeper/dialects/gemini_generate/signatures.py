"""Seals as thought signatures: Google's clients take base64 only, so what is wrapped is base64 as a whole."""

import base64

from tollkeeper.core.conversation import Seal
from tollkeeper.core.seals import unwrapped, wrapped

_NAME = "gemini_generate"
_MARK = "dGsx"
"""How `tk1` begins in base64."""


def told(seal: Seal) -> str:
    """The seal as a client gets it: bare where it is Gemini's own."""
    if seal.origin == _NAME:
        return seal.value
    return base64.b64encode(wrapped(seal, _NAME).encode()).decode()


def read(signature: str, origin: str) -> Seal:
    """The seal that a signature is: one that we wrapped, in either alphabet, or `origin`'s own."""
    if signature.startswith(_MARK):
        plain = signature.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            ours = unwrapped(base64.b64decode(plain + "=" * (-len(plain) % 4)).decode(), "")
        except ValueError:
            return Seal(signature, origin)
        if ours.origin:
            return ours
    return Seal(signature, origin)

"""What a browser keeps for the gate: values sealed with AES-256-GCM, cut into as many cookies as they need.

Nobody who lacks the secret can read or change one, or use it for another purpose than it was sealed for. Time is passed in.
"""

import base64
import secrets
import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
_PIECE = 3800
"""Characters in one cookie: browsers take 4096 bytes with its name and attributes (RFC 6265, 6.1)."""
_MOST_PIECES = 8
_MOST_BYTES = 256 * 1024


class Cookies:
    """Those of one purpose. `secure`: whether they go over TLS only."""

    def __init__(self, secret: str, purpose: str) -> None:
        self._cipher = AESGCM(sha256(b"tollkeeper cookie\0" + secret.encode()).digest())
        self._purpose = purpose.encode()

    def sealed(self, name: str, value: Mapping[str, Any], seconds: int, now: float, *, secure: bool) -> list[bytes]:
        """Values of Set-Cookie that keep `value` for so long. Raises ValueError where it is too much for cookies."""
        plain = msgspec.json.encode({"until": now + seconds, "value": value})
        nonce = secrets.token_bytes(_NONCE)
        hidden = nonce + self._cipher.encrypt(nonce, zlib.compress(plain), self._associated(name))
        text = base64.urlsafe_b64encode(hidden).rstrip(b"=").decode()
        pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
        if len(pieces) > _MOST_PIECES:
            raise ValueError("too much for cookies")
        ends = _attributes(seconds, secure)
        return [f"{_piece(name, place)}={piece}{ends}".encode() for place, piece in enumerate(pieces)]

    def opened(self, name: str, given: Mapping[str, str], now: float) -> dict[str, Any] | None:
        """The value in a browser's cookies; None where there is none, it is over, or it is not ours."""
        text = ""
        for place in range(_MOST_PIECES):
            piece = given.get(_piece(name, place))
            if piece is None:
                break
            text += piece
            if len(piece) < _PIECE:
                break
        try:
            hidden = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            packed = self._cipher.decrypt(hidden[:_NONCE], hidden[_NONCE:], self._associated(name))
            plain = zlib.decompressobj().decompress(packed, _MOST_BYTES)
            found = msgspec.json.decode(plain)
        except (ValueError, InvalidTag, zlib.error, msgspec.DecodeError):
            return None
        if found["until"] <= now:
            return None
        value: dict[str, Any] = found["value"]
        return value

    def _associated(self, name: str) -> bytes:
        return self._purpose + b"\0" + name.encode()


def cleared(name: str, given: Mapping[str, str], *, secure: bool) -> list[bytes]:
    """Values of Set-Cookie that take away what the browser has of this name."""
    mine = [_piece(name, place) for place in range(_MOST_PIECES) if _piece(name, place) in given]
    return [f"{each}={_attributes(0, secure)}".encode() for each in mine]


def read(header: bytes) -> dict[str, str]:
    """The pairs of a Cookie header; of several with one name, the first."""
    found: dict[str, str] = {}
    for pair in header.decode("latin-1").split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals:
            found.setdefault(name, value)
    return found


def without(header: bytes, prefix: str) -> bytes:
    """A Cookie header without the cookies whose name begins so."""
    pairs = [pair.strip() for pair in header.decode("latin-1").split(";")]
    return "; ".join(pair for pair in pairs if pair and not pair.startswith(prefix)).encode("latin-1")


def _piece(name: str, place: int) -> str:
    return f"{name}_{place + 1}" if place else name


def _attributes(seconds: int, secure: bool) -> str:
    return f"; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

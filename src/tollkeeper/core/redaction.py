"""Hides a secret in what others say: in a whole text, and in one that comes in pieces which may be cut inside it."""

LEAST = 16
"""Characters from which on a secret is looked for: a local server's key is often a mere word, as answers are made of."""
REDACTED = b"[redacted]"
_LINE_ENDS = b"\n"


def sought(secret: str | None) -> bytes | None:
    """The secret's bytes, where it can be told from ordinary words; otherwise None."""
    return secret.encode() if secret and len(secret) >= LEAST else None


def hidden(data: bytes, secret: bytes | None) -> bytes:
    """`data` with `REDACTED` in the place of the secret."""
    return data if secret is None or secret not in data else data.replace(secret, REDACTED)


class Pieces:
    """One text, piece by piece. An end that may be the beginning of the secret waits for the piece after it."""

    __slots__ = ("_held", "_instead", "_secret")

    def __init__(self, secret: bytes | None, *, same_length: bool = False) -> None:
        """`same_length`: as many bytes come out as go in, because whoever reads has been told how many there are."""
        self._secret = secret
        self._instead = b"*" * len(secret or b"") if same_length else REDACTED
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be shown once `piece` has come."""
        secret = self._secret
        if secret is None:
            return piece
        if self._held:
            piece, self._held = self._held + piece, b""
        if secret in piece:
            piece = piece.replace(secret, self._instead)
        if not piece.endswith(_LINE_ENDS):  # which is in no secret, and at the end of every event of a stream
            begun = _begun(piece, secret)
            if begun:
                piece, self._held = piece[:-begun], piece[-begun:]
        return piece

    def end(self) -> bytes:
        """What was kept and is not the secret, as nothing comes any more."""
        held, self._held = self._held, b""
        return held


def _begun(piece: bytes, secret: bytes) -> int:
    """How many bytes at the end of `piece` are the secret's first ones; never all of them."""
    sizes = range(min(len(secret) - 1, len(piece)), 0, -1)
    return next((size for size in sizes if piece.endswith(secret[:size])), 0)

"""An answer's body that a plugin holds back until it is there as a whole, without its compression, to make another."""

from tollkeeper.core.errors import UpstreamError
from tollkeeper.routes.exchange import Exchange
from tollkeeper.wire.inflating import Inflating, TooLong

_PLAIN = (b"", b"identity")
_READ = (b"gzip", b"x-gzip", b"deflate")
OF_A_BODY = (b"content-length", b"content-encoding", b"etag", b"last-modified")
"""What is no longer so of another body."""


class HeldBody:
    """Made in header_filter. An answer that is too long goes out as it came, compressed if it was."""

    def __init__(self, exchange: Exchange, most: int) -> None:
        """`most`: bytes that the body may come to, compressed or not."""
        assert exchange.response is not None
        self._headers = headers = exchange.response.headers
        self._most = most
        self.coding = b",".join(headers.all(b"content-encoding")).strip().lower()
        # The headers of what the gate's own endpoints stream do not wait for its first piece: none can come back then.
        self.readable = self.coding in _PLAIN or (self.coding in _READ and not exchange.own)
        """Whether its compression is one that is read here; else the answer is nothing to hold."""
        self.passes = False
        """Whether it was too long."""
        self.whole: bytes | None = None
        """All of it, with its last piece."""
        self._inflating = Inflating(most) if self.coding not in _PLAIN else None
        self._came = bytearray()

    def take_headers(self) -> None:
        """Takes those away that are of the body that came."""
        self._headers.remove(*OF_A_BODY)

    def add(self, chunk: bytes, last: bool) -> bytes:
        """What goes out now: nothing as long as it is held. Raises UpstreamError where it is not compressed as it says."""
        if self.passes:
            return chunk
        self._came += chunk
        try:
            if len(self._came) > self._most:
                raise TooLong(f"it has more than {self._most} bytes")
            if self._inflating is not None:
                self._inflating.add(chunk)
        except TooLong:
            return self._given_up()
        except ValueError as error:
            raise _undone(str(error)) from None
        if last:
            if self._inflating is not None and not self._inflating.complete:
                raise _undone("it ends too soon")
            self.whole = bytes(self._came if self._inflating is None else self._inflating.data)
        return b""

    def _given_up(self) -> bytes:
        self.passes = True
        came, self._came, self._inflating = bytes(self._came), bytearray(), None
        if self.coding:
            self._headers.set(b"content-encoding", self.coding)
        return came


def _undone(reason: str) -> UpstreamError:
    return UpstreamError(f"The upstream's answer cannot be decompressed: {reason}.")

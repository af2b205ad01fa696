"""WebSocket frames (RFC 6455): bytes to whole messages and back, for either side of a connection.

Framing is done by `websockets` (alive, BSD, typed, no dependencies): beside wsproto it takes half the CPU for a short
message and a tenth for a long one, and a kilobyte a connection. What this adds: fragments are joined, and text is
checked while it comes, so that a message of a million fragments takes no more memory than its bytes.

Rule 1: no compression is offered or taken: a connection's window would cost more memory than all the rest of it.
Rule 2: a ping is answered at once, here; nobody else sees it.
"""

import codecs
import io
from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Mapping

from websockets.exceptions import InvalidState, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SEND_EOF, SERVER, Protocol
from websockets.utils import accept_key

NORMAL, GOING_AWAY, UNSUPPORTED, NO_STATUS, ABNORMAL, INVALID_DATA = 1000, 1001, 1003, 1005, 1006, 1007
POLICY, TOO_BIG, INTERNAL = 1008, 1009, 1011
"""Close codes (RFC 6455, 7.4.1)."""
LONGEST_REASON = 123
"""Bytes: a control frame has room for no more."""

Message = str | bytes
_decoder = codecs.getincrementaldecoder("utf-8")


class BadHandshake(ValueError):
    """Why a request is no opening of a WebSocket. `str()` is fit for the client."""


def accepted(named: Mapping[bytes, bytes]) -> bytes:
    """The Sec-WebSocket-Accept for a request with these headers (names in lower case). Raises BadHandshake."""
    if b"upgrade" not in [token.strip() for token in named.get(b"connection", b"").lower().split(b",")]:
        raise BadHandshake("The Connection header does not name the upgrade.")
    if named.get(b"sec-websocket-version") != b"13":
        raise BadHandshake("Sec-WebSocket-Version must be 13.")
    key = named.get(b"sec-websocket-key", b"")
    try:
        whole = len(b64decode(key, validate=True)) == 16
    except BadBase64:
        whole = False
    if not whole:
        raise BadHandshake("Sec-WebSocket-Key must be 16 bytes in Base64.")
    return accept_key(key.decode("ascii")).encode("ascii")


class Channel:
    """One side of an open connection. After every call that may have made bytes, `take` them and send them."""

    __slots__ = ("_begun", "_decode", "_joined", "_protocol", "frames", "over")

    def __init__(self, *, largest: int, client: bool = False, protocol: Protocol | None = None) -> None:
        if protocol is None:
            protocol = Protocol(CLIENT if client else SERVER, max_size=largest)
        self._protocol = protocol
        self._begun: Opcode | None = None
        self._joined: io.StringIO | bytearray | None = None
        self._decode: codecs.IncrementalDecoder | None = None
        self.frames = 0
        """Frames received so far, of all kinds."""
        self.over = False
        """Whether our side has nothing more to send: the connection is to be ended for writing once `take` was sent."""

    # --- from the peer ----------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete. A breach of the protocol closes the channel (see `closed`)."""
        protocol = self._protocol
        protocol.receive_data(data)
        messages: list[Message] = []
        for frame in protocol.events_received():
            self.frames += 1
            assert isinstance(frame, Frame)
            opcode = frame.opcode
            try:
                if opcode is Opcode.TEXT or opcode is Opcode.BINARY or opcode is Opcode.CONT:
                    self._data(frame, messages)
            except UnicodeDecodeError:
                self.fail(INVALID_DATA, "A text message is not valid UTF-8.")
                break
        return messages

    def _data(self, frame: Frame, messages: list[Message]) -> None:
        if frame.opcode is not Opcode.CONT:
            if frame.fin:
                data = bytes(frame.data)
                messages.append(data.decode() if frame.opcode is Opcode.TEXT else data)
                return
            self._begun = frame.opcode
            self._joined = io.StringIO() if frame.opcode is Opcode.TEXT else bytearray()
            self._decode = _decoder() if frame.opcode is Opcode.TEXT else None
        joined = self._joined
        if isinstance(joined, io.StringIO):
            assert self._decode is not None
            joined.write(self._decode.decode(bytes(frame.data), final=frame.fin))
        elif joined is not None:
            joined += frame.data
        if frame.fin and joined is not None:
            messages.append(joined.getvalue() if isinstance(joined, io.StringIO) else bytes(joined))
            self._begun = self._joined = self._decode = None

    def end(self) -> None:
        """The peer's bytes have ended."""
        self._protocol.receive_eof()

    # --- to the peer ------------------------------------------------------------------------------------------------

    def text(self, data: bytes) -> None:
        """One text message, given as UTF-8. Nothing is sent once the channel is closing."""
        if self._protocol.state is OPEN:
            self._protocol.send_text(data)

    def binary(self, data: bytes) -> None:
        """One binary message. Nothing is sent once the channel is closing."""
        if self._protocol.state is OPEN:
            self._protocol.send_binary(data)

    def ping(self) -> None:
        """Asks the peer whether it is there."""
        if self._protocol.state is OPEN:
            self._protocol.send_ping(b"")

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begins to close, in good order: the peer's close is still to come."""
        try:
            self._protocol.send_close(code, _short(reason))
        except (InvalidState, ProtocolError):
            self.fail(INTERNAL)

    def fail(self, code: int, reason: str = "") -> None:
        """Closes at once: what the peer still sends is not read any more."""
        self._protocol.fail(code, _short(reason))

    def take(self) -> bytes:
        """What is to be sent now. Sets `over` where it is the last."""
        parts = self._protocol.data_to_send()
        if not parts:
            return b""
        if parts[-1] is SEND_EOF or not parts[-1]:
            self.over = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # --- ends -------------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether messages can still be sent."""
        return self._protocol.state is OPEN

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason with which it is closed or being closed, the peer's before ours; None while it is open."""
        protocol = self._protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        if received is not None:
            return received.code, received.reason
        if sent is not None:
            return sent.code, sent.reason
        return None if protocol.state is OPEN else (ABNORMAL, "")


def _short(reason: str) -> str:
    return reason.encode()[:LONGEST_REASON].decode("utf-8", "ignore")

"""What was said on one socket so far, within bounds: the oldest is forgotten first."""

from collections import deque

import msgspec

_encode = msgspec.json.encode
_read = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Memory:
    """Messages as chat has them, each as JSON."""

    __slots__ = ("_kept", "_most", "_most_bytes", "_size")

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: deque[bytes] = deque()
        self._size = 0

    def messages(self) -> list[msgspec.Raw]:
        """Oldest first."""
        return [msgspec.Raw(message) for message in self._kept]

    def add(self, question: str, answer: str) -> None:
        """A question and its answer, which go together."""
        for role, content in (("user", question), ("assistant", answer)):
            message = _encode({"role": role, "content": content})
            self._kept.append(message)
            self._size += len(message)
        while self._kept and (len(self._kept) > self._most or self._size > self._most_bytes):
            for _ in range(2):
                self._size -= len(self._kept.popleft())

    def kept(self) -> str:
        """All of it as JSON, for `restore`."""
        return _encode(self.messages()).decode()

    def restore(self, kept: str) -> None:
        """What it was when that was `kept`."""
        self._kept = deque(bytes(message) for message in _read(kept))
        self._size = sum(map(len, self._kept))

    def forget(self) -> None:
        self._kept.clear()
        self._size = 0

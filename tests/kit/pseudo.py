"""A terminal with somebody at it: a command in a pseudo-terminal, what it shows awaited, and answers typed."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType


def _in_the_foreground() -> None:
    """The terminal's Ctrl-C reaches it as it would reach somebody's own, also where these tests run in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class PseudoTerminal:
    """`tollkeeper` with these arguments at a terminal of that width; ended with the `with`."""

    def __init__(
        self, *arguments: str, folder: Path, columns: int = 80, environment: Mapping[str, str] | None = None
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        left_out = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tollkeeper", *arguments],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_in_the_foreground,
            env={
                **{name: value for name, value in os.environ.items() if name not in left_out},
                "TERM": "xterm-256color",
                **(environment or {}),
            },
        )
        os.close(theirs)
        self.said = ""
        """Everything so far."""
        self._seen = 0

    def __enter__(self) -> "PseudoTerminal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)
        os.close(self._ours)

    def wait_for(self, words: str, seconds: float = 60) -> None:
        """Until it has shown them, after what was awaited before."""
        until = time.monotonic() + seconds
        while (at := self.said.find(words, self._seen)) < 0:
            assert time.monotonic() < until, self.said
            assert self._read(), self.said
        self._seen = at + len(words)

    def type(self, text: str) -> None:
        """As if by hand; "\\x03" is Ctrl-C."""
        os.write(self._ours, text.encode())

    def interrupt(self, words: str) -> None:
        """Ctrl-C, until the terminal has shown that.

        Again now and then: one that comes while readline sets up its prompt is noticed at the next key only.
        """
        until = time.monotonic() + 60
        while words not in self.said[self._seen :]:
            assert time.monotonic() < until, self.said
            self.type("\x03")
            again = time.monotonic() + 5
            while words not in self.said[self._seen :] and time.monotonic() < again:
                assert self._read(), self.said
        self._seen = self.said.index(words, self._seen) + len(words)

    def end(self, seconds: float = 60) -> int:
        """Waits for its end; the exit code."""
        until = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < until, self.said
        return self._process.wait(30)

    def _read(self) -> bool:
        """False at the end."""
        with suppress(OSError):  # how a terminal ends on Linux
            if not select.select([self._ours], [], [], 1.0)[0]:
                return self._process.poll() is None
            piece = os.read(self._ours, 65536)
            self.said += piece.decode("utf-8", "replace")
            return bool(piece)
        return False

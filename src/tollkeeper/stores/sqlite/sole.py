"""One gate to a home: a second one would take the first one's open holds for what a crash left behind."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tollkeeper.core.errors import GateError


class HomeTaken(GateError):
    """Another gate or job serves this home."""


@contextlib.contextmanager
def sole(home: Path) -> Iterator[None]:
    """Holds `home` for this process; the operating system gives it back however the process ends.

    Raises HomeTaken where somebody else holds it, GateError where it cannot be a home.
    """
    make_home(home)
    path = home / "gate.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise HomeTaken(
                f"Another gate or bulk job (process {holder}) has {home} open. Give this one a --home of its own;"
                " a bulk job may also ask that gate, by --gate URL."
            ) from None
        except OSError as error:
            raise GateError(f"{path} cannot be locked: {error.strerror}.") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def make_home(home: Path) -> None:
    """The folder, for its owner only. Raises GateError."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise GateError(f"{home} cannot be a home: {error.strerror}.") from None

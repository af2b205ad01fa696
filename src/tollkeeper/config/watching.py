"""Notices that the config file was changed, once whoever writes it has finished."""

import os
from collections.abc import Callable
from pathlib import Path

_Mark = tuple[int, int, int] | None


class FileWatch:
    """Looks at a file again and again; `path` tells where it is now, None where there is none."""

    def __init__(self, path: Callable[[], Path | None]) -> None:
        self._path = path
        self._taken = self._looked_at = self._mark()

    def changed(self) -> bool:
        """Whether it is another file than the one taken. Never at the first look at it: it may be half written."""
        mark = self._mark()
        settled = mark == self._looked_at
        self._looked_at = mark
        return settled and mark != self._taken

    def taken(self) -> None:
        """What is there now is going to be read."""
        self._taken = self._mark()

    def _mark(self) -> _Mark:
        path = self._path()
        try:
            stat = os.stat(path) if path is not None else None
        except OSError:
            return None
        return None if stat is None else (stat.st_mtime_ns, stat.st_size, stat.st_ino)

"""Notices that the config file, or a file that it names a secret by, was changed, once whoever writes it has finished."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

_Mark = tuple[int, int, int] | None


class FileWatch:
    """Looks at files again and again; `paths` tells which they are now."""

    def __init__(self, paths: Callable[[], Iterable[Path]]) -> None:
        self._paths = paths
        self._taken = self._looked_at = self._marks()

    def changed(self) -> bool:
        """Whether one is another file than the one taken. Never at the first look at it: it may be half written.

        A file that was not there to be looked at before counts as taken as it is.
        """
        marks = self._marks()
        settled = marks == self._looked_at
        self._looked_at = marks
        different = [path for path, mark in marks.items() if self._taken.setdefault(path, mark) != mark]
        return settled and bool(different)

    def taken(self) -> None:
        """What is there now is going to be read."""
        self._taken = self._marks()

    def _marks(self) -> dict[Path, _Mark]:
        return {path: _mark(path) for path in self._paths()}


def _mark(path: Path) -> _Mark:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

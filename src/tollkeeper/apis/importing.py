"""The author's modules: imported from the folder of the config, and anew when their files change (in development)."""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Mark = dict[Path, tuple[int, int]]


class CannotImport(ImportError):
    """Why a function is not to be had. `str()` names the error and the line."""


class Modules:
    """Those of one project: what is imported from below `folder`, environments and installed packages apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: Mark = {}

    def find(self, reference: str) -> Callable[..., Any]:
        """The function `module:name`. Raises CannotImport."""
        name, _, attribute = reference.partition(":")
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # it is somebody's code: it may raise anything
            raise CannotImport(f"cannot be imported: {type(error).__name__}: {error}{self._place(error)}") from None
        found = getattr(module, attribute, None)
        if found is None:
            raise CannotImport(f"'{name}' has no '{attribute}'")
        if not callable(found) or isinstance(found, type):
            raise CannotImport(f"'{attribute}' is no function")
        self._seen = self._mark()
        function: Callable[..., Any] = found
        return function

    def changed(self) -> bool:
        """Whether a file of an imported module is another than when it was imported; told once for each change."""
        mark = self._mark()
        changed = mark != self._seen
        self._seen = mark
        return changed

    def forget(self) -> dict[str, ModuleType]:
        """They will be imported anew. Returns them, for `restore`."""
        sys.dont_write_bytecode = (
            True  # what is compiled is told from its source by the second: two edits may share one
        )
        own = {name: module for name, module in sys.modules.items() if self._is_ours(module)}
        for name in own:
            del sys.modules[name]
        return own

    def restore(self, modules: dict[str, ModuleType]) -> None:
        """What was forgotten is as it was."""
        for name in [name for name, module in sys.modules.items() if self._is_ours(module)]:
            del sys.modules[name]
        sys.modules.update(modules)

    def _mark(self) -> Mark:
        mark: Mark = {}
        for module in list(sys.modules.values()):
            if self._is_ours(module):
                path = Path(str(module.__file__))
                try:
                    stat = path.stat()
                except OSError:
                    continue
                mark[path] = (stat.st_mtime_ns, stat.st_size)
        return mark

    def _is_ours(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            return False
        try:
            parts = Path(file).relative_to(self.folder).parts
        except ValueError:
            return False
        return "site-packages" not in parts and not any(part.startswith(".") for part in parts)

    def _place(self, error: BaseException) -> str:
        """The author's own line that failed."""
        if isinstance(error, SyntaxError):
            return ""  # says its line itself
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(self.folder))
        ]
        return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""

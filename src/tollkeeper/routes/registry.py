"""Which plugins there are: one for each file of a package, and of a folder of one's own; imported when first asked for."""

import asyncio
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from tollkeeper.core.errors import ConfigError
from tollkeeper.routes import json_schema
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.room import Room

Others = Callable[[str], Iterable[Conf]]
"""Of a plugin: every other configuration of it that is stored."""

META: Schema = {
    "type": "object",
    "properties": {
        "disable": {"type": "boolean"},
        "error_response": {"oneOf": [{"type": "string"}, {"type": "object"}]},
        "priority": {"type": "integer"},
        "filter": {"type": "array", "maxItems": 20},
    },
    "additionalProperties": False,
}
"""What every plugin's configuration may say under `_meta`. Lua is not run: `pre_function` is refused."""


class Invalid(ValueError):
    """A configuration that cannot be used; the words are for whoever sent it."""


class Registry:
    """Finds plugins by the name that configurations use."""

    def __init__(self, package: ModuleType, folder: Path | None = None, room: Room | None = None) -> None:
        """`folder` has plugins of one's own; `room` is what the gate leaves to all of them."""
        self._room = Room() if room is None else room
        self._sources: dict[str, str | Path] = {}
        for found in pkgutil.iter_modules(package.__path__):
            self._sources[_named(found.name)] = f"{package.__name__}.{found.name}"
        if folder is not None:
            if not folder.is_dir():
                raise ConfigError([f"routing.plugins: {folder} is not a folder"])
            for file in sorted(folder.glob("*.py")):
                self._sources[_named(file.stem)] = file
        self._classes: dict[str, type[Plugin]] = {}
        self._ready: set[str] = set()
        """Those that have nothing left to import."""

    def get(self, name: str) -> type[Plugin] | None:
        """The plugin of that name; None where there is none. Raises ConfigError where its file has no plugin in it."""
        found = self._classes.get(name)
        if found is None and name in self._sources:
            # Two threads may come at one time: there is one class all the same.
            found = self._classes.setdefault(name, _loaded(name, self._sources[name]))
        return found

    async def make_ready(self, value: Any) -> None:
        """Loads, on a thread, the plugins that a value which came as JSON may name: calls go on meanwhile.

        A key that is a plugin's name counts wherever it stands, as that is cheap to find and a needless load does no harm.
        What is wrong with a plugin's file is said by `check`.
        """
        wanted = {name for name in _keys(value) if name in self._sources and name not in self._ready}
        if wanted:
            await asyncio.to_thread(self._make_ready, wanted)

    def _make_ready(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(ConfigError):
                plugin = self.get(name)
                if plugin is not None:
                    plugin.load()
                    self._ready.add(name)

    def all(self) -> dict[str, type[Plugin]]:
        """Every plugin by name, the highest priority first."""
        found = [(name, self.get(name)) for name in self._sources]
        known = [(name, plugin) for name, plugin in found if plugin is not None]
        return dict(sorted(known, key=lambda pair: (-pair[1].priority, pair[0])))

    def check(self, plugins: Any, others: Others, *, consumer: bool = False) -> None:
        """Raises Invalid with what is wrong with the `plugins` of a resource."""
        for name, conf in plugins.items():
            plugin = self.get(name)
            if plugin is None:
                raise Invalid(f"unknown plugin [{name}]")
            words = self._wrong(plugin, conf, partial(others, name), consumer)
            if words is not None:
                raise Invalid(f"failed to check the configuration of plugin {name} err: {words}")

    def _wrong(
        self, plugin: type[Plugin], conf: Any, others: Callable[[], Iterable[Conf]], consumer: bool
    ) -> str | None:
        if not isinstance(conf, dict):
            return "invalid configuration type, expected a table"
        meta = conf.get("_meta", {})
        words = json_schema.wrong(meta, META)
        if words is not None:
            return f'property "_meta" validation failed: {words}'
        if "filter" in meta:
            try:
                compiled(meta["filter"])
            except BadExpression as error:
                return f"failed to validate the 'vars' expression: {error}"
        plain = {field: value for field, value in conf.items() if field != "_meta"}
        personal = plugin.consumer_schema if consumer else None
        words = json_schema.wrong(plain, personal or plugin.schema)
        if words is not None:
            return words
        filled = json_schema.with_defaults(plain, personal or plugin.schema)
        try:
            if personal is not None:
                plugin.check_consumer(filled)
            else:
                plugin.check(filled, others())
                plugin.check_room(filled, self._room)
        except ValueError as error:
            return str(error)
        return None

    def check_metadata(self, name: str, value: Mapping[str, Any]) -> None:
        """Raises Invalid."""
        plugin = self.get(name)
        if plugin is None:
            raise Invalid(f"unknown plugin [{name}]")
        if plugin.metadata_schema is not None:
            words = json_schema.wrong(dict(value), plugin.metadata_schema)
            if words is not None:
                raise Invalid(f"invalid configuration: {words}")


def _keys(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _named(file: str) -> str:
    return file.replace("_", "-")


def _loaded(name: str, source: str | Path) -> type[Plugin]:
    if isinstance(source, str):
        module = importlib.import_module(source)
    else:
        spec = importlib.util.spec_from_file_location(f"tollkeeper_plugin_{source.stem}", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Plugin) and each.__module__ == module.__name__
    ]
    leaves = [each for each in found if not any(each in other.__mro__[1:] for other in found)]
    if len(leaves) != 1:
        raise ConfigError([f"{source}: a plugin's file has one class of Plugin in it, this has {len(leaves)}"])
    leaves[0].name = name
    return leaves[0]

"""Which route a request is for, in a time that does not depend on how many routes there are.

As APISIX's radixtree_host_uri: routes with a host first (exact, then wildcards, longer ones first), then those without.
Within one: the exact path, then paths with parameters, then the longest prefix; with one path, the highest priority. Where
a route's method, address, vars or state does not fit, the search goes on.
"""

from bisect import insort
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tollkeeper.routes.exchange import Exchange


class Matchable(Protocol):
    """What the router must know of a route."""

    id: str
    priority: int
    number: int
    """Of two with one priority, the lower one is asked first."""

    def fits(self, exchange: "Exchange") -> bool:
        """Whether all but host and path fits."""
        ...


class _Place:
    """All routes with one path pattern at one host."""

    __slots__ = ("routes",)

    def __init__(self) -> None:
        self.routes: list[Matchable] = []

    def add(self, route: Matchable) -> None:
        insort(self.routes, route, key=lambda each: (-each.priority, each.number))


class _Segments:
    """A tree of path segments, for patterns with parameters."""

    __slots__ = ("any", "exact", "literal", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, _Segments] = {}
        self.any: _Segments | None = None
        self.exact: dict[tuple[str, ...], _Place] = {}
        """By the parameters' names: places whose pattern ends here."""
        self.rest: dict[tuple[str, ...], _Place] = {}
        """Places whose pattern goes on with /*."""


class _Host:
    """The routes of one host."""

    __slots__ = ("exact", "lengths", "prefixes", "segments")

    def __init__(self) -> None:
        self.exact: dict[str, _Place] = {}
        self.prefixes: dict[str, _Place] = {}
        self.lengths: dict[int, int] = {}
        """How many prefixes have that length, longest first."""
        self.segments: _Segments | None = None


class Router:
    """An index of routes by host and path."""

    def __init__(self, *, parameters: bool = False) -> None:
        self._parameters = parameters
        self._hosts: dict[str, _Host] = {}
        """Exact names; wildcards as ".foo.com"."""
        self._wildcards = False
        self._anywhere = _Host()

    def add(self, route: Matchable, hosts: list[str], paths: list[str]) -> None:
        """Puts a route in at every host ([]: any) and path."""
        for host in self._hosts_of(hosts, create=True):
            for path in paths:
                place = self._place(host, path, create=True)
                assert place is not None
                place.add(route)

    def remove(self, route: Matchable, hosts: list[str], paths: list[str]) -> None:
        """Takes it out of where it was added."""
        for host in self._hosts_of(hosts, create=False):
            for path in paths:
                place = self._place(host, path, create=False)
                if place is not None:
                    place.routes = [each for each in place.routes if each is not route]
                    if not place.routes:
                        self._forget(host, path)

    def find(self, exchange: "Exchange", host: str, path: str) -> "tuple[Matchable, dict[str, str]] | None":
        """The route, and what stood at its parameters."""
        for level in self._levels(host):
            place = level.exact.get(path)
            if place is not None:
                for route in place.routes:
                    if route.fits(exchange):
                        return route, {}
            if level.segments is not None:
                for place, values in _walk(level.segments, path[1:].split("/"), 0, ()):
                    for route in place.routes:
                        if route.fits(exchange):
                            return route, values
            for length in level.lengths:
                if length <= len(path):
                    place = level.prefixes.get(path[:length])
                    if place is not None:
                        for route in place.routes:
                            if route.fits(exchange):
                                return route, {}
        return None

    def _levels(self, host: str) -> Iterator[_Host]:
        if self._hosts:
            found = self._hosts.get(host)
            if found is not None:
                yield found
            if self._wildcards:
                at = host.find(".")
                while at >= 0:
                    found = self._hosts.get(host[at:])
                    if found is not None:
                        yield found
                    at = host.find(".", at + 1)
        yield self._anywhere

    def _hosts_of(self, hosts: list[str], create: bool) -> Iterator[_Host]:
        for given in hosts or ["*"]:
            host = given.lower()
            if host == "*":
                yield self._anywhere
                continue
            if host.startswith("*"):
                host = host[1:]
                self._wildcards = True
            found = self._hosts.get(host)
            if found is None and create:
                found = self._hosts[host] = _Host()
            if found is not None:
                yield found

    def _place(self, host: _Host, path: str, create: bool) -> _Place | None:
        if self._parameters and "/:" in path:
            return self._parametric(host, path, create)
        index, key = (host.prefixes, path[:-1]) if path.endswith("*") else (host.exact, path)
        place = index.get(key)
        if place is None and create:
            place = index[key] = _Place()
            if index is host.prefixes:
                host.lengths[len(key)] = host.lengths.get(len(key), 0) + 1
                host.lengths = dict(sorted(host.lengths.items(), reverse=True))
        return place

    def _forget(self, host: _Host, path: str) -> None:
        if self._parameters and "/:" in path:
            return
        if not path.endswith("*"):
            host.exact.pop(path, None)
        elif host.prefixes.pop(path[:-1], None) is not None:
            length = len(path) - 1
            host.lengths[length] -= 1
            if not host.lengths[length]:
                del host.lengths[length]

    @staticmethod
    def _parametric(host: _Host, path: str, create: bool) -> _Place | None:
        if host.segments is None:
            if not create:
                return None
            host.segments = _Segments()
        at, names = host.segments, []
        open_ended = path.endswith("/*")
        for part in (path[1:-2] if open_ended else path[1:]).split("/"):
            if part.startswith(":"):
                names.append(part[1:])
                at.any = at.any or _Segments()
                at = at.any
            else:
                at = at.literal.setdefault(part, _Segments())
        index = at.rest if open_ended else at.exact
        return index.setdefault(tuple(names), _Place()) if create else index.get(tuple(names))


def _walk(
    at: _Segments, parts: list[str], place: int, values: tuple[str, ...]
) -> "Iterator[tuple[_Place, dict[str, str]]]":
    """Every place that fits, literal segments before parameters, longer patterns before those that leave a rest."""
    if place == len(parts):
        for names, found in at.exact.items():
            yield found, dict(zip(names, values, strict=True))
    else:
        inner = at.literal.get(parts[place])
        if inner is not None:
            yield from _walk(inner, parts, place + 1, values)
        if at.any is not None and parts[place]:
            yield from _walk(at.any, parts, place + 1, (*values, parts[place]))
        for names, found in at.rest.items():
            yield found, dict(zip(names, values, strict=True))

"""Which route a request is for, in a time that does not depend on how many routes there are.

As APISIX's radixtree_host_uri: routes with a host first (exact, then wildcards, longer ones first), then those without.
Within one: the exact path, then paths with parameters, then the longest prefix; with one path, the highest priority. Where
a route's method, address, vars or state does not fit, the search goes on.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
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


class _Folder:
    """All prefixes that have their last slash at one place: /a/ is the folder of /a/*, /a/b* and /a/c*."""

    __slots__ = ("all", "lengths", "some")

    def __init__(self) -> None:
        self.all: _Place | None = None
        """What is in it, whatever its name: /a/*."""
        self.some: dict[str, _Place] = {}
        """By how names in it begin."""
        self.lengths: dict[int, int] = {}
        """How many of those are that long, longest first."""


class _Host:
    """The routes of one host."""

    __slots__ = ("deepest", "depths", "exact", "folders", "segments")

    def __init__(self) -> None:
        self.exact: dict[str, _Place] = {}
        self.folders: dict[str, _Folder] = {}
        self.depths: dict[int, int] = {}
        """How many folders have that many slashes."""
        self.deepest = 0
        """The most that any has: deeper down in a path, none is looked for."""
        self.segments: _Segments | None = None


class Router:
    """An index of routes by host and path."""

    def __init__(self, *, parameters: bool = False) -> None:
        self._parameters = parameters
        self._hosts: dict[str, _Host] = {}
        """Exact names; wildcards as ".foo.com"."""
        self._wildcards = False
        self._anywhere = _Host()
        self._everywhere = (self._anywhere,)

    def add(self, route: Matchable, hosts: list[str], paths: list[str]) -> None:
        """Puts a route in at every host ([]: any) and path."""
        for host in self._hosts_of(hosts, create=True):
            for path in map(plain, paths):
                place = self._place(host, path, create=True)
                assert place is not None
                place.add(route)

    def remove(self, route: Matchable, hosts: list[str], paths: list[str]) -> None:
        """Takes it out of where it was added."""
        for host in self._hosts_of(hosts, create=False):
            for path in map(plain, paths):
                place = self._place(host, path, create=False)
                if place is not None:
                    place.routes = [each for each in place.routes if each is not route]
                    if not place.routes:
                        self._forget(host, path)

    def find(self, exchange: "Exchange", host: str, path: str) -> "tuple[Matchable, dict[str, str]] | None":
        """The route, and what stood at its parameters."""
        path = plain(path)
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
            if level.folders:
                for place in _prefixes(level, path):
                    for route in place.routes:
                        if route.fits(exchange):
                            return route, {}
        return None

    def _levels(self, host: str) -> Sequence[_Host]:
        if not self._hosts:
            return self._everywhere
        names = [host]
        if self._wildcards:
            at = host.find(".")
            while at >= 0:
                names.append(host[at:])
                at = host.find(".", at + 1)
        return [*(self._hosts[name] for name in names if name in self._hosts), self._anywhere]

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
        if not path.endswith("*"):
            return host.exact.setdefault(path, _Place()) if create else host.exact.get(path)
        name, rest = _parted(path)
        folder = host.folders.get(name)
        if folder is None:
            if not create:
                return None
            folder = host.folders[name] = _Folder()
            _count(host.depths, name.count("/"), 1)
            host.deepest = max(host.depths)
        place = folder.some.get(rest) if rest else folder.all
        if place is None and create:
            place = _Place()
            if rest:
                folder.some[rest] = place
                _count(folder.lengths, len(rest), 1)
                folder.lengths = dict(sorted(folder.lengths.items(), reverse=True))
            else:
                folder.all = place
        return place

    def _forget(self, host: _Host, path: str) -> None:
        if self._parameters and "/:" in path:
            return
        if not path.endswith("*"):
            host.exact.pop(path, None)
            return
        name, rest = _parted(path)
        folder = host.folders[name]
        if not rest:
            folder.all = None
        else:
            del folder.some[rest]
            _count(folder.lengths, len(rest), -1)
        if folder.all is None and not folder.some:
            del host.folders[name]
            _count(host.depths, name.count("/"), -1)
            host.deepest = max(host.depths, default=0)

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


def plain(path: str) -> str:
    """The path that upstreams may take this one for: an encoded slash is one, and several are one (as nginx has it).

    What is sent to them stays as it is; but a route that keeps somebody out is not got past by a slash more.
    """
    if "//" not in path and "%2F" not in path:
        return path
    kept: list[str] = []
    parts = path.replace("%2F", "/").split("/")
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part and part != ".":
            kept.append(part)
    ended = "/" if kept and parts[-1] in ("", ".", "..") else ""
    return "/" + "/".join(kept) + ended


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


def _prefixes(host: _Host, path: str) -> list[_Place]:
    """Every prefix of the path that somebody is at, the longest first.

    One look for each folder that the path is in, however many prefixes there are and however long they are.
    """
    found: list[_Place] = []
    end, size = 0, len(path)
    for _ in range(host.deepest + 1):
        folder = host.folders.get(path[:end])
        if folder is not None:  # backwards, as the folders are walked
            if folder.all is not None:
                found.append(folder.all)
            for length in reversed(folder.lengths):
                place = folder.some.get(path[end : end + length]) if end + length <= size else None
                if place is not None:
                    found.append(place)
        end = path.find("/", end) + 1
        if not end:
            break
    found.reverse()
    return found


def _parted(path: str) -> tuple[str, str]:
    """A pattern's folder, and how what it stands for begins in there: /a/b* is (/a/, b)."""
    end = path.rfind("/") + 1
    return path[:end], path[end:-1]


def _count(counts: dict[int, int], of: int, more: int) -> None:
    counts[of] = counts.get(of, 0) + more
    if not counts[of]:
        del counts[of]

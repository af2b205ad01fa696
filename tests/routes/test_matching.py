"""Which route is found, and how little is looked at for it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.exchanges import exchange
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.matching import Router


class Found:
    """A route that counts how often it was asked."""

    def __init__(self, id: str, priority: int = 0, fits: bool = True) -> None:
        self.id = id
        self.priority = priority
        self.number = 0
        self.asked = 0
        self._fits = fits

    def fits(self, exchange: Exchange) -> bool:
        self.asked += 1
        return self._fits


def find(router: Router, path: str, host: str = "") -> tuple[str, dict[str, str]] | None:
    found = router.find(exchange(path), host, path)
    return None if found is None else (found[0].id, found[1])


def test_one_of_ten_thousand_routes_is_found_without_asking_another() -> None:
    router = Router()
    routes = [Found(str(number)) for number in range(10_000)]
    for number, route in enumerate(routes):
        router.add(route, [f"h{number % 10}.com"] if number % 2 else [], [f"/api/{number}/*", f"/exact/{number}"])

    assert find(router, "/api/9998/x", "any.com") == ("9998", {})
    assert find(router, "/exact/9999", "h9.com") == ("9999", {})
    assert find(router, "/exact/9999", "h8.com") is None
    assert sum(route.asked for route in routes) == 2


@pytest.mark.parametrize(
    ("path", "host", "wanted"),
    [
        ("/blog/bar", "", "prefix"),
        ("/blog/bar/x", "", "prefix"),
        ("/blog/ba", "", "all"),
        ("/blog/bar", "a.foo.com", "wild"),
        ("/blog/bar", "foo.com", "prefix"),
        ("/exact", "exact.foo.com", "host"),
        ("/other", "exact.foo.com", "wild"),
    ],
)
def test_hosts_come_before_paths_and_longer_before_shorter(path: str, host: str, wanted: str) -> None:
    router = Router()
    router.add(Found("all"), [], ["/*"])
    router.add(Found("prefix"), [], ["/blog/bar*"])
    router.add(Found("wild"), ["*.Foo.com"], ["/*"])
    router.add(Found("host"), ["exact.foo.com"], ["/exact"])

    assert find(router, path, host) == (wanted, {})


def test_the_higher_priority_is_asked_first_and_the_next_where_it_does_not_fit() -> None:
    router = Router()
    router.add(Found("low"), [], ["/a"])
    router.add(Found("high", priority=1, fits=False), [], ["/a"])

    assert find(router, "/a") == ("low", {})


@pytest.mark.parametrize(
    "path", ["/up//kept/x", "//up/kept/x", "/up%2Fkept%2Fx", "/up/a/..%2Fkept/x", "/up/.%2Fkept/x", "/up/kept%2F/x"]
)
def test_no_slash_more_and_no_encoded_one_gets_past_a_route(path: str) -> None:
    router = Router()
    router.add(Found("all"), [], ["/up/*"])
    router.add(Found("kept"), [], ["/up/kept/*"])

    assert find(router, path) == ("kept", {})


def test_a_route_may_have_slashes_in_a_row_too() -> None:
    router = Router()
    fetching = Found("fetch")
    router.add(fetching, [], ["/fetch/https://*"])

    assert find(router, "/fetch/https://example.com/") == ("fetch", {})
    router.remove(fetching, [], ["/fetch/https://*"])
    assert find(router, "/fetch/https://example.com/") is None


def test_parameters_stand_for_one_segment() -> None:
    router = Router(parameters=True)
    router.add(Found("user"), [], ["/users/:id"])
    router.add(Found("me"), [], ["/users/me"])
    router.add(Found("below"), [], ["/users/:id/files/*"])
    router.add(Found("rest"), [], ["/users/*"])

    assert find(router, "/users/7") == ("user", {"id": "7"})
    assert find(router, "/users/me") == ("me", {})
    assert find(router, "/users/7/files/a/b") == ("below", {"id": "7"})
    assert find(router, "/users/7/other") == ("rest", {})
    assert find(router, "/users//files/x") == ("rest", {})


def test_a_route_that_is_taken_out_is_found_no_more() -> None:
    router = Router()
    route = Found("a")
    router.add(route, ["a.com", "*.b.com"], ["/x", "/y/*"])
    router.remove(route, ["a.com", "*.b.com"], ["/x", "/y/*"])

    assert find(router, "/x", "a.com") is None
    assert find(router, "/y/1", "c.b.com") is None


_PIECES = st.lists(st.sampled_from(["/", "a", "b", "ab", "é"]), max_size=6).map(
    lambda parts: re.sub("//+", "/", "".join(parts)).removeprefix("/")
)


@given(st.sets(_PIECES), st.sets(_PIECES), _PIECES)
def test_the_longest_prefix_is_found_whatever_prefixes_come_and_go(
    prefixes: set[str], gone: set[str], rest: str
) -> None:
    router, path = Router(), "/" + rest
    routes = {f"/{prefix}*": Found(prefix) for prefix in prefixes | gone}
    for pattern, route in routes.items():
        router.add(route, [], [pattern])
    for pattern in [f"/{prefix}*" for prefix in gone]:
        router.remove(routes.pop(pattern), [], [pattern])

    fitting = [pattern for pattern in routes if path.startswith(pattern[:-1])]
    wanted = max(fitting, key=len, default=None)
    assert find(router, path) == (None if wanted is None else (wanted[1:-1], {}))
    assert [route.asked for route in routes.values()] == [int(pattern == wanted) for pattern in routes]


@given(st.sets(_PIECES), _PIECES)
def test_where_no_prefix_fits_each_that_the_path_begins_with_is_asked_once_the_longest_first(
    prefixes: set[str], rest: str
) -> None:
    router, path, asked = Router(), "/" + rest, []

    class Refusing(Found):
        def fits(self, exchange: Exchange) -> bool:
            asked.append(self.id)
            return False

    for prefix in prefixes:
        router.add(Refusing(prefix), [], [f"/{prefix}*"])

    assert find(router, path) is None
    assert asked == sorted((each for each in prefixes if path[1:].startswith(each)), key=len, reverse=True)

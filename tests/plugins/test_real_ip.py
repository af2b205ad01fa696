"""real-ip at the gate's door."""

import pytest

from kit.raw import RawClient
from kit.routed import Site

SHOWN = {"response-rewrite": {"headers": {"x-seen": "$remote_addr|$remote_port|$realip_remote_addr"}}}
LOOPBACK = ["127.0.0.0/8"]


def seen(site: Site, path: str, **headers: str) -> list[str]:
    """The client's address and port as plugins see them, and where the connection came from."""
    return site.ask(path, **headers)[1]["x-seen"].split("|")


def test_the_address_is_what_a_trusted_proxy_says_and_the_upstream_and_other_plugins_go_by_it(site: Site) -> None:
    conf = {"source": "http_x_forwarded_for", "trusted_addresses": LOOPBACK}
    path = site.route({"real-ip": conf, **SHOWN})
    assert seen(site, path, x_forwarded_for="10.0.0.1, 203.0.113.9") == ["203.0.113.9", "", "127.0.0.1"]
    assert site.told(path, x_forwarded_for="203.0.113.9")["headers"]["x-real-ip"] == "203.0.113.9"
    only = site.route({"real-ip": conf, "ip-restriction": {"whitelist": ["203.0.113.0/24"]}})
    assert site.ask(only, x_forwarded_for="203.0.113.9")[0] == 200
    assert site.ask(only, x_forwarded_for="203.0.113.9, 198.51.100.1")[0] == 403
    assert site.ask(only)[0] == 403


def test_what_anybody_else_says_is_not_believed(site: Site) -> None:
    conf = {"source": "http_x_forwarded_for", "trusted_addresses": ["10.0.0.0/8"]}
    path = site.route({"real-ip": conf, **SHOWN})
    assert seen(site, path, x_forwarded_for="203.0.113.9")[0] == "127.0.0.1"


def test_trusted_proxies_are_passed_over_from_the_last_on(site: Site) -> None:
    conf = {"source": "http_x_forwarded_for", "trusted_addresses": [*LOOPBACK, "10.0.0.0/8"], "recursive": True}
    path = site.route({"real-ip": conf, **SHOWN})
    assert seen(site, path, x_forwarded_for="6.6.6.6, 203.0.113.9, 10.0.0.2,10.0.0.1")[0] == "203.0.113.9"
    assert seen(site, path, x_forwarded_for="10.0.0.3, 10.0.0.2")[0] == "10.0.0.3"
    assert seen(site, path, x_forwarded_for="6.6.6.6, nonsense, 10.0.0.2")[0] == "127.0.0.1"


def test_several_headers_are_one_list(site: Site) -> None:
    conf = {"source": "http_x_forwarded_for", "trusted_addresses": LOOPBACK}
    path = site.route({"real-ip": conf, **SHOWN})
    with RawClient(site.gate.port) as client:
        head = f"GET {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n"
        client.send((head + "x-forwarded-for: 6.6.6.6\r\nx-forwarded-for: 203.0.113.9\r\n\r\n").encode())
        assert b"x-seen: 203.0.113.9|" in client.read_all()


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("203.0.113.9:80", ["203.0.113.9", "80"]),
        ("2001:db8::1", ["2001:db8::1", ""]),
        ("[2001:db8::1]:443", ["2001:db8::1", "443"]),
        ("[::1]", ["::1", ""]),
    ],
)
def test_an_address_may_have_a_port(site: Site, said: str, means: list[str]) -> None:
    path = site.route({"real-ip": {"source": "http_x_address"}, **SHOWN})
    assert seen(site, path, x_address=said)[:2] == means


@pytest.mark.parametrize(
    "said",
    [
        "",
        "unknown",
        "203.0.113.9:0",
        "203.0.113.9:65536",
        "203.0.113.9:",
        "[::1",
        "[::1]x",
        "[::1]:",
        "fe80::1%a",
        "1.2.3",
    ],
)
def test_what_is_no_address_changes_nothing(site: Site, said: str) -> None:
    path = site.route({"real-ip": {"source": "arg_address"}, **SHOWN})
    found = seen(site, f"{path}?address={said.replace('%', '%25')}")
    assert (found[0], found[1] != "") == ("127.0.0.1", True)


def test_networks_that_are_none_are_refused(site: Site) -> None:
    conf = {"source": "http_x", "trusted_addresses": ["10.0.0.0/99"]}
    assert "invalid ip address: 10.0.0.0/99" in site.refused({"real-ip": conf})

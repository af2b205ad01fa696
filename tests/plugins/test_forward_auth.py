"""forward-auth against a small server that decides."""

import json
from collections.abc import Iterator

import pytest

from kit.gate import request
from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream


def decide(asked: Request, connection: Connection) -> bool:
    """Lets pass who brings the right token, or a body that asks for it."""
    good = asked.headers.get("authorization") == "right" or b"please" in asked.body
    uri = asked.headers["x-forwarded-uri"]
    if good:
        head = f"HTTP/1.1 200 OK\r\nx-user: ada\r\nx-saw: {asked.headers['x-forwarded-method']} {uri}\r\n"
        return connection.send(head.encode() + b"content-length: 0\r\n\r\n")
    head = "HTTP/1.1 302 Found\r\nlocation: /login\r\nx-internal: 1\r\n"
    return connection.send(head.encode() + b"content-length: 2\r\n\r\nno")


@pytest.fixture(scope="module")
def authority() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(decide) as server:
        yield server


def test_what_it_lets_pass_reaches_the_upstream_with_what_it_says(site: Site, authority: ScriptedUpstream) -> None:
    conf = {
        "uri": f"http://127.0.0.1:{authority.port}/auth",
        "request_headers": ["Authorization"],
        "upstream_headers": ["X-User", "X-Saw", "X-Missing"],
    }
    path = site.route({"forward-auth": conf})
    odd = request("GET", f"{site.gate.url}{path}/a%3Fb%20c?d=%3F", {"authorization": "right", "x_user": "root"})
    assert (json.loads(odd[2])["headers"]["x-saw"], b"root" in odd[2]) == (f"GET {path}/a%3Fb%20c?d=%3F", False)
    headers = site.told(path + "?a=1", "PUT", {}, authorization="right", x_user="root", x_missing="forged")["headers"]
    assert (headers["x-user"], headers["x-saw"]) == ("ada", f"PUT {path}?a=1")
    assert "x-missing" not in headers


def test_who_decides_is_not_shown_a_key_that_spends_money(site: Site, authority: ScriptedUpstream) -> None:
    key = site.gate.new_key(name=site.consumer({"key-auth": {"key": "forwarded"}}))
    conf = {"uri": f"http://127.0.0.1:{authority.port}/auth", "request_headers": ["Authorization", "apikey"]}
    path = site.route({"key-auth": {}, "forward-auth": conf})

    assert site.ask(f"{path}?a=1&apikey={key}", authorization="right")[0] == 200
    assert authority.requests[-1].headers["x-forwarded-uri"] == path + "?a=1"
    assert site.ask(path, authorization="right", apikey=key)[0] == 200
    assert "apikey" not in authority.requests[-1].headers


def test_what_it_refuses_is_answered_as_it_says(site: Site, authority: ScriptedUpstream) -> None:
    conf = {
        "uri": f"http://127.0.0.1:{authority.port}/auth",
        "request_method": "POST",
        "client_headers": ["X-Internal"],
        "extra_headers": {"x-client": "$remote_addr"},
    }
    path = site.route({"forward-auth": conf})
    status, headers, body = site.ask(path, "POST", b"let me in", authorization="right")
    assert (status, headers["x-internal"], body) == (302, "1", b"no")
    assert "authorization" not in authority.requests[-1].headers
    assert authority.requests[-1].headers["x-client"] == "127.0.0.1"
    assert site.told(path, "POST", b"please")["body"] == "please"


def test_an_authority_that_is_away_lets_nobody_pass_unless_that_is_said(site: Site) -> None:
    conf = {"uri": "http://127.0.0.1:1/", "status_on_error": 503}
    assert site.ask(site.route({"forward-auth": conf}))[0] == 503
    assert site.ask(site.route({"forward-auth": {**conf, "allow_degradation": True}}))[0] == 200


def test_an_address_that_nodes_may_not_have_is_not_asked(site: Site) -> None:
    conf = {"uri": "http://169.254.169.254/latest/meta-data", "status_on_error": 403}
    assert site.ask(site.route({"forward-auth": conf}))[0] == 403

"""csrf at the gate's door."""

import base64
import json

import pytest

from kit.routed import Site


def test_a_change_needs_the_token_both_ways(site: Site) -> None:
    path = site.route({"csrf": {"key": "a key", "name": "tok"}})
    status, headers, _ = site.ask(path)
    assert status == 200
    token = headers["set-cookie"].partition(";")[0].removeprefix("tok=")
    assert "SameSite=Lax" in headers["set-cookie"]
    assert site.ask(path, "POST", {}, tok=token, cookie=f"tok={token}")[0] == 200
    for given, words in (
        ({}, "no csrf token in headers"),
        ({"tok": token}, "no csrf cookie"),
        ({"tok": token, "cookie": "tok=other"}, "csrf token mismatch"),
        ({"tok": "bm9uZQ==", "cookie": "tok=bm9uZQ=="}, "Failed to verify the csrf token signature"),
    ):
        status, _, body = site.ask(path, "POST", {}, **given)
        assert (status, json.loads(body)) == (401, {"error_msg": words})


def test_a_token_of_another_key_is_none(site: Site) -> None:
    token = site.ask(site.route({"csrf": {"key": "one"}}))[1]["set-cookie"].partition(";")[0].partition("=")[2]
    named = {"apisix-csrf-token": token, "cookie": f"apisix-csrf-token={token}"}
    assert site.ask(site.route({"csrf": {"key": "two"}}), "DELETE", None, **named)[0] == 401


@pytest.mark.parametrize("odd", ['"sign":"\u00e9"', '"sign":"a","more":' + "[" * 3000 + "]" * 3000, '"sign":"\\ud83d"'])
def test_a_token_that_nobody_would_make_is_none(site: Site, odd: str) -> None:
    path = site.route({"csrf": {"key": "a key", "name": "tok"}})
    token = base64.b64encode(f'{{"random":"a","expires":1,{odd}}}'.encode()).decode()
    status, _, body = site.ask(path, "POST", {}, tok=token, cookie=f"tok={token}")
    assert (status, json.loads(body)) == (401, {"error_msg": "Failed to verify the csrf token signature"})

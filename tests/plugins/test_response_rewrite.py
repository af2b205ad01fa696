"""response-rewrite at the gate's door."""

import base64

from kit.raw import RawClient
from kit.routed import Site


def test_status_headers_and_body_are_what_is_said(site: Site) -> None:
    conf = {
        "status_code": 201,
        "body": "hello",
        "headers": {"add": ["x-a: 1", "x-a: 2"], "set": {"x-status": "$status"}, "remove": ["content-type"]},
    }
    status, headers, body = site.ask(site.route({"response-rewrite": conf}))
    assert (status, body, headers["x-status"]) == (201, b"hello", "201")
    assert headers["content-length"] == "5"
    assert "content-type" not in headers


def test_a_body_in_base64(site: Site) -> None:
    conf = {"body": base64.b64encode(b"\x00\x01").decode(), "body_base64": True}
    assert site.ask(site.route({"response-rewrite": conf}))[2] == b"\x00\x01"
    assert "invalid base64 content" in site.refused({"response-rewrite": {"body": "!", "body_base64": True}})


def test_filters_replace_once_or_everywhere(site: Site) -> None:
    filters = [
        {"regex": "A(.)", "replace": "<$1>", "options": "i"},
        {"regex": "z", "scope": "global", "replace": ""},
    ]
    path = site.route({"response-rewrite": {"filters": filters}})
    assert site.ask(path + "?answer-body=ab-ac-zz")[2] == b"<b>-ac-"


def test_only_where_vars_hold(site: Site) -> None:
    path = site.route({"response-rewrite": {"status_code": 404, "vars": [["status", "==", 500]]}})
    assert site.ask(path)[0] == 200
    assert site.ask(path + "?answer-status=500")[0] == 404


def test_body_and_filters_exclude_each_other(site: Site) -> None:
    site.refused({"response-rewrite": {"body": "x", "filters": [{"regex": "a", "replace": "b"}]}})


def test_values_are_written_in_utf_8_and_a_client_s_bytes_as_they_came(site: Site) -> None:
    path = site.route({"response-rewrite": {"headers": {"set": {"x-said": "é☃ $http_x_given $arg_q"}}}})
    with RawClient(site.gate.port) as client:
        head = f"GET {path}?q=%C3%A9 HTTP/1.1\r\nhost: gate\r\nconnection: close\r\nx-given: ☃".encode()
        client.send(head + b"\xe9\r\n\r\n")
        answer = client.read_all()

    assert b"x-said: " + "é☃ ☃".encode() + b"\xe9 " + "é".encode() + b"\r\n" in answer

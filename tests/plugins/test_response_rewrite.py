"""response-rewrite at the gate's door."""

import base64
import gzip
import zlib

from kit.raw import RawClient
from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream


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


def test_filters_see_what_an_upstream_has_compressed(site: Site) -> None:
    plain = b"hello " * 500
    bodies = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "br": b"not read here",
        "x-gzip": gzip.compress(plain)[:-9],
    }

    def script(asked: Request, connection: Connection) -> bool:
        name = asked.path.rpartition("/")[2]
        body = bodies[name]
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {name}\r\ncontent-length: {len(body)}\r\n\r\n"
        return connection.send(head.encode() + body)

    with ScriptedUpstream(script) as server:
        nodes = {"nodes": {f"127.0.0.1:{server.port}": 1}, "type": "roundrobin"}
        filters = [{"regex": "hello", "scope": "global", "replace": "bye"}]
        path = site.route({"response-rewrite": {"filters": filters}}, upstream=nodes)
        for name in ("gzip", "deflate"):
            _, headers, body = site.ask(f"{path}/{name}")
            assert (body, "content-encoding" in headers) == (b"bye " * 500, False)
        _, headers, body = site.ask(f"{path}/br")
        assert (body, headers["content-encoding"]) == (bodies["br"], "br")
        assert site.ask(f"{path}/x-gzip")[0] == 502


def test_what_could_not_do_anything_is_refused(site: Site) -> None:
    assert "invalid base64 content" in site.refused({"response-rewrite": {"body_base64": True}})
    odd = {"filters": [{"regex": "a", "replace": "b", "options": "jz"}]}
    assert 'unknown flag "z"' in site.refused({"response-rewrite": odd})
